/**
 * What other rows cannot be faster than: what is left of each when all that this SDK does is left out.
 */
import { HttpApiClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Deferred, Effect, Fiber, Schema } from "effect"
import { spawn } from "node:child_process"
import { userInfo } from "node:os"
import { Api } from "../programs/api.js"
import { bareHttp, bubblewrap, conversation, e2b, ipykernel, PYTHON, python, server } from "../References.js"
import {
  AT_ONCE,
  atOnce,
  explained,
  type Finding,
  inTurns,
  Missing,
  rates,
  rounds,
  type Row,
  series,
  timed
} from "../Row.js"

const program = (name: string): string => new URL(`../programs/${name}`, import.meta.url).pathname

/** A bare Python that is asked, and answers, by a line of JSON each. */
const asked = (name: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn(PYTHON, ["-I", program(name)], { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    ({ stdin, stdout }) => {
      let answered: (line: string) => void = () => {}
      stdout.setEncoding("utf8").on("data", (line: string) => answered(line))
      return (code: string, onAnswer: (line: string) => void): void => {
        answered = onAnswer
        stdin.write(`${JSON.stringify({ op: "run", code })}\n`)
      }
    }
  )

type Ask = Effect.Effect.Success<ReturnType<typeof asked>>

const bare = (ask: Ask) => Effect.async<void>((resume) => ask("1+1", () => resume(Effect.void)))

const decodeAnswer = Schema.decode(Schema.parseJson(Schema.Struct({ ev: Schema.String, text: Schema.String })))

/** The least that is an operation: a span, arguments and an answer by a schema, a fiber that is stopped after a time. */
const least = (ask: Ask) =>
  Effect.fn("Floor.runCode")(function*(code: string) {
    const decoded = yield* Schema.decode(Schema.String)(code)
    const answer = yield* Deferred.make<string>()
    const running = Effect.gen(function*() {
      ask(decoded, (line) => Deferred.unsafeDone(answer, Effect.succeed(line)))
      return (yield* decodeAnswer(yield* Deferred.await(answer))).text
    })
    return yield* Fiber.join(yield* Effect.fork(Effect.timeout(running, "1 minute")))
  })

/** A client of a server of the platform that executes nothing. */
const platform = Effect.flatMap(server("platform.ts"), ({ url }) => HttpApiClient.make(Api, { baseUrl: url }))

/** How many times as long as the reference it takes; there is no goal. */
const ratio = (
  values: { readonly ours: ReadonlyArray<number>; readonly reference: ReadonlyArray<number> }
): ReadonlyArray<Finding> => {
  const ours = series(values.ours)
  const reference = series(values.reference)
  return [{ part: "", unit: "ms", ours, reference, value: ours.median / reference.median }]
}

const WARM_UP = 500
const PAUSE = "500 millis"
const MANY = 1_000

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "floor-run-local",
    title: "two bare Pythons behind each other, asked by the least that is an operation of Effect (run-local: ≤ 0.12)",
    reference: "a round trip of ipykernel, by jupyter_client",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const kernel = yield* ipykernel
        const run = least(yield* asked("relay.py"))
        return ratio(yield* inTurns(rounds(effort, 600), timed(run("1+1")), kernel, WARM_UP))
      })))
  },
  {
    id: "floor-run-http",
    title: "a request to HttpApiBuilder by HttpApiClient, answered with a constant, and the above (run-http: ≤ 1.2)",
    reference: "runCode of @e2b/code-interpreter against a server that executes nothing",
    measure: (effort) =>
      explained(
        Effect.scoped(Effect.gen(function*() {
          const theirs = yield* e2b
          const { sandboxes } = yield* platform
          const run = least(yield* asked("relay.py"))
          const both = Effect.zipRight(sandboxes.run({ payload: { code: "1+1" } }), run("1+1"))
          return ratio(yield* inTurns(rounds(effort, 600), timed(both), timed(theirs), WARM_UP))
        })).pipe(Effect.provide(NodeHttpClient.layerUndici))
      )
  },
  {
    id: "floor-run-many",
    title: `that request alone, ${AT_ONCE} at once, a second (run-many: ≥ 0.25)`,
    reference: "requests of a bare node:http server a second, by undici",
    measure: (effort) =>
      explained(
        Effect.scoped(Effect.gen(function*() {
          const bare = yield* bareHttp
          const { sandboxes } = yield* platform
          const run = sandboxes.run({ payload: { code: "1+1" } })
          const total = 640
          const found = yield* inTurns(rounds(effort, 12), atOnce(total, run), atOnce(total, bare))
          const { goal: _, ...finding } = rates(found, total, 0, "", "a second")
          return [finding]
        })).pipe(Effect.provide(NodeHttpClient.layerUndici))
      )
  },
  {
    id: "floor-create-pool-local",
    title: "the same twice, the first time of one Python alone: is it there, and a run (create-pool-local: ≤ 0.08)",
    reference: "python3 -I -c pass",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const ping = least(yield* asked("evaluate.py"))
        const run = least(yield* asked("relay.py"))
        const both = Effect.zipLeft(timed(Effect.zipRight(ping("1+1"), run("1+1"))), Effect.sleep(PAUSE))
        return ratio(yield* inTurns(rounds(effort, 60), both, timed(python), 30))
      })))
  },
  {
    id: "floor-create-pool-http",
    title: "two requests to HttpApiBuilder by HttpApiClient, answered with constants (create-pool-http: ≤ 0.2)",
    reference: "python3 -I -c pass",
    measure: (effort) =>
      explained(
        Effect.scoped(Effect.gen(function*() {
          const { sandboxes } = yield* platform
          const create = sandboxes.create({ payload: { templateId: "python" } })
          const run = sandboxes.run({ payload: { code: "1+1" } })
          const both = Effect.zipLeft(timed(Effect.zipRight(create, run)), Effect.sleep(PAUSE))
          return ratio(yield* inTurns(rounds(effort, 60), both, timed(python), 30))
        })).pipe(Effect.provide(NodeHttpClient.layerUndici))
      )
  },
  {
    id: "floor-create-cold",
    title: "a disk, control groups, bubblewrap and a Python that forks, by Node alone (create-cold: ≤ 1.5)",
    reference: "bubblewrap around python3 -I -c pass",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        if (userInfo().uid !== 0) return yield* Effect.fail(new Missing("only root may mount a disk"))
        const { ask, next } = yield* conversation(process.execPath, [program("creation.mjs")])
        yield* next
        return ratio(yield* inTurns(rounds(effort, 40), Effect.map(ask(""), Number), timed(bubblewrap), 10))
      })))
  },
  {
    id: "floor-density",
    title: `${MANY} times two bare Pythons behind each other, asked in turns (density: ≤ 1.5)`,
    reference: "one of them alone",
    measure: (effort) =>
      explained(Effect.scoped(Effect.gen(function*() {
        const count = rounds(effort, 1_000)
        const through = (all: ReadonlyArray<Ask>) =>
          Effect.forEach(Array.from({ length: count }, (_, turn) => all[turn % all.length] ?? first), (ask) =>
            timed(bare(ask)))
        const first = yield* asked("relay.py")
        yield* through([first])
        const reference = yield* through([first])
        const others = yield* Effect.forEach(
          Array.from({ length: Math.max(20, Math.round(MANY * effort.scale)) - 1 }),
          () =>
            Effect.tap(asked("relay.py"), bare)
        )
        yield* through([first, ...others])
        return ratio({ ours: yield* through([first, ...others]), reference })
      })))
  }
]
