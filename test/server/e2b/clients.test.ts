/**
 * The published clients of E2B, none of them changed, against a server with the real engine: led there by the variables
 * alone.
 */
import { afterAll, beforeAll } from "vitest"
import type { RunningServer } from "../../../src/server.js"
import { start } from "../support.js"
import { type Client, operations } from "./operations.js"

const KEY = `e2b_${"5f2c".repeat(10)}`

let server: RunningServer

beforeAll(async () => {
  server = await start({ apiKeys: [KEY, `e2b_${"0b".repeat(20)}`], e2b: true })
  process.env["E2B_API_URL"] = server.url
  process.env["E2B_SANDBOX_URL"] = server.url
  process.env["E2B_API_KEY"] = KEY
})

afterAll(() => server.close())

/** Each brings the version of `e2b` with it that is named. */
const load = (name: string) => async (): Promise<Client> => await import(name)

operations("2.51.0", load("@e2b/code-interpreter"))
operations("2.50.0", load("e2b-client-2.50"))
operations("2.45.0", load("e2b-client-2.45"))
// Its code interpreter asks names of hosts alone, by https: the variables do not lead it here.
operations("2.20.1", load("e2b-client-2.20"), false)
