/**
 * A server over the embedded engine, as a program of its own: `program.ts PORT DATA KEY`. It says where it listens.
 */
import { serve } from "../../src/server.js"

const [port = "0", dataDirectory = "", key = ""] = process.argv.slice(2)

const everything = { requestsPerMinute: Infinity, concurrentExecutions: Infinity, sandboxes: Infinity }

serve({ port: Number(port), dataDirectory, apiKeys: [key], quotas: everything }).then(
  (server) => {
    process.once("SIGTERM", () => {
      void server.close().then(() => process.exit(0))
    })
    process.send?.({ port: server.port })
  },
  (error: unknown) => {
    console.error(error)
    process.exit(70)
  }
)
