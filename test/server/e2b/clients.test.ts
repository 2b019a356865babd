/**
 * The published clients of E2B, none of them changed, against a server with the real engine: led there by the variables
 * alone, and the oldest by a domain.
 */
import { afterAll, beforeAll } from "vitest"
import type { RunningServer } from "../../../src/server.js"
import { start } from "../support.js"
import { frontOf } from "./https.js"
import { type Client, operations } from "./operations.js"

const KEY = `e2b_${"5f2c".repeat(10)}`

let server: RunningServer
let front: Awaited<ReturnType<typeof frontOf>>

beforeAll(async () => {
  server = await start({ apiKeys: [KEY, `e2b_${"0b".repeat(20)}`], e2b: true })
  front = await frontOf(server.port)
  process.env["E2B_API_URL"] = server.url
  process.env["E2B_SANDBOX_URL"] = server.url
  process.env["E2B_API_KEY"] = KEY
  // The code interpreter of 2.20, as of all before 2.7, goes by names of hosts alone, and by https.
  process.env["E2B_DOMAIN"] = front.domain
})

afterAll(async () => {
  await front.close()
  await server.close()
})

/** Each brings the version of `e2b` with it that is named. */
const load = (name: string) => async (): Promise<Client> => await import(name)

operations("2.51.0", load("@e2b/code-interpreter"))
operations("2.50.0", load("e2b-client-2.50"))
operations("2.45.0", load("e2b-client-2.45"))
operations("2.20.1", load("e2b-client-2.20"))
