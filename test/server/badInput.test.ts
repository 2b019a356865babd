/**
 * Whatever is sent: an answer, never of the server's fault, and nothing has changed.
 */
import { Either, Schema } from "effect"
import { Agent, request as send } from "node:http"
import { afterAll, beforeAll, expect, it } from "vitest"
import { AnySandboxSDKError } from "../../src/Errors.js"
import type { RunningServer } from "../../src/server.js"
import { makeRandom } from "../support/random.js"
import { makeRequests, type Wrong } from "./requests.js"
import { ALICE, BOB, clientOf, start } from "./support.js"

const SEED = Number(process.env["SEED"] ?? 20261122)
const REQUESTS = Number(process.env["REQUESTS"] ?? 10_000)
const CONCURRENCY = 24

let server: RunningServer

beforeAll(async () => {
  server = await start({ limits: { maxJsonBytes: 4 * 1024 * 1024 }, quotas: { requestsPerMinute: Infinity } })
})

afterAll(() => server.close())

const decode = Schema.decodeUnknownEither(Schema.parseJson(AnySandboxSDKError))

interface Answered {
  readonly status: number
  readonly text: string
}

const HANG_MS = 30_000

const answerTo = (agent: Agent, { body, headers, method, path }: Wrong) =>
  new Promise<Answered>((resolve, reject) => {
    const { hostname, port } = new URL(server.url)
    const outgoing = send({
      agent,
      hostname,
      port,
      method,
      path,
      headers: {
        authorization: `Bearer ${ALICE}`,
        ...headers,
        ...(body === undefined ? {} : { "content-length": body.length })
      },
      timeout: HANG_MS
    }, (incoming) => {
      const pieces: Array<Buffer> = []
      incoming.on("data", (piece: Buffer) => pieces.push(piece))
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(pieces).toString() }))
      incoming.on("error", reject)
    })
    outgoing.on("timeout", () => outgoing.destroy(new Error("It hangs.")))
    outgoing.on("error", reject)
    outgoing.end(body)
  })

const faultOf = ({ method, path }: Wrong, { status, text }: Answered): string | undefined => {
  if (status >= 500) {
    return "the server's fault"
  }
  if (status < 400) {
    // Deleting what is not there, for this caller, succeeds.
    const isHarmless = method === "GET" || method === "DELETE" ||
      (path.startsWith("/api/requests/") && text === "{\"stopped\":false}")
    return isHarmless ? undefined : "it was carried out"
  }
  return Either.isRight(decode(text)) ? undefined : "no error that decodes"
}

it(`answers ${REQUESTS} wrong requests, and nothing has changed`, async () => {
  const alice = clientOf(server.url)
  const bob = clientOf(server.url, BOB)
  const own = await alice.sandbox({ templateId: "python", name: "own" })
  const theirs = await bob.sandbox({ templateId: "python", name: "theirs" })
  const idOf = (path: string) => path.slice("/api/sandboxes/".length)
  await bob.request("POST", `${theirs}/files?path=secret.txt`, { content: "secret" })
  await alice.request("POST", `${own}/files?path=mine.txt`, { content: "mine" })
  const context = (await bob.request("POST", `${theirs}/contexts`, {})).json.id
  const { config } = (await bob.request("GET", "/api/templates/python")).json
  const template = (await bob.request("POST", "/api/templates", { ...config, name: "theirs" })).json.id

  const fingerprint = async () => {
    const one = async (client: typeof alice, path: string) => {
      const { createdAt, id, metadata, name, status, templateId } = (await client.request("GET", path)).json
      return {
        info: { createdAt, id, metadata, name, status, templateId },
        contexts: (await client.request("GET", `${path}/contexts`)).json,
        files: (await client.request("POST", `${path}/terminal`, {
          command:
            "cd /workspace && find . -printf '%p %s %m %T@\\n' | sort && find . -type f -exec sha256sum {} + | sort"
        })).json.output,
        all: (await client.request("GET", "/api/sandboxes")).json.length,
        templates: (await client.request("GET", "/api/templates?pageSize=100")).json
      }
    }
    return [await one(alice, own), await one(bob, theirs)]
  }

  const before = await fingerprint()
  const document = await (await fetch(`${server.url}/openapi.json`)).json()
  const requests = makeRequests(document, makeRandom(SEED), {
    own: idOf(own),
    foreign: { sandbox: idOf(theirs), context, template }
  })
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY })
  const statuses = new Map<number, number>()
  let sent = 0
  const worker = async () => {
    while (sent < REQUESTS) {
      sent += 1
      const wrong = requests.next()
      const about = () =>
        `${wrong.what}: ${wrong.method} ${wrong.path.slice(0, 200)} ${wrong.body?.subarray(0, 200).toString() ?? ""}`
      const answered = await answerTo(agent, wrong).catch((error: unknown) => {
        throw new Error(`${String(error)} at ${about()}`)
      })
      statuses.set(answered.status, (statuses.get(answered.status) ?? 0) + 1)
      const fault = faultOf(wrong, answered)
      if (fault !== undefined) {
        throw new Error(`${fault}: ${answered.status} ${answered.text.slice(0, 300)} at ${about()}`)
      }
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  agent.destroy()
  expect(await fingerprint()).toEqual(before)
  // Wrong in many ways, and not refused all for the same reason.
  for (const status of [400, 404, 405, 413, 414, 415, 422]) {
    expect(statuses.get(status) ?? 0, `answers ${status} of ${[...statuses].join(" ")}`).toBeGreaterThan(0)
  }
}, 300_000)
