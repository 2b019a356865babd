// A server in a process of its own. It says where it listens, and ends as its parent pleases.
import { serve } from "sandbox-sdk/server"

const [options = "{}"] = process.argv.slice(2)
const server = await serve(JSON.parse(options))
process.send?.({ url: server.url, port: server.port })
