/**
 * Output at the speed of a pipe.
 */
import { Effect, Stream } from "effect"
import { spawn } from "node:child_process"
import type { SandboxSDK } from "sandbox-sdk"
import { PYTHON } from "../References.js"
import { Failed, inTurns, rates, rounds, type Row, series, timed } from "../Row.js"
import { local, sandboxOf, served } from "../Subjects.js"

const MB = 1_000_000

const failed = (cause: unknown) => new Failed({ message: String(cause), cause })

/** Lines of 100 bytes, as a program prints that knows of no sandbox. */
const printing = (bytes: number) => `line = "x" * 99\nfor _ in range(${bytes / 100}): print(line)`

const oneLine = (bytes: number) => `print("x" * ${bytes - 1})`

/** The same program, and a pipe to Node. */
const bare = (code: string, bytes: number) =>
  Effect.async<void, Failed>((resume) => {
    const child = spawn(PYTHON, ["-I", "-c", code], { stdio: ["ignore", "pipe", "inherit"] })
    let size = 0
    child.stdout.on("data", (piece: Buffer) => {
      size += piece.length
    })
    child.once("close", () =>
      resume(size === bytes ? Effect.void : Effect.fail(new Failed({ message: `${size} bytes arrived of ${bytes}` }))))
  })

const ours = (sdk: typeof SandboxSDK.Service, id: string, code: string, bytes: number) =>
  sdk.runCodeStream(id, code).pipe(
    Stream.runFold(0, (size, event) => event._tag === "Stdout" ? size + event.text.length : size),
    Effect.filterOrFail(
      (size) => size === bytes,
      (size) => new Failed({ message: `${size} bytes arrived of ${bytes}` })
    )
  )

const LINE = 22 * MB

const SIZE = 200 * MB

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "stream",
    title: "200 MB printed, by runCodeStream",
    reference: "the same program with a pipe to Node",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const code = printing(SIZE)
        const here = yield* local()
        const { sdk: there } = yield* served()
        const hereId = yield* sandboxOf(here, { templateId: "python" })
        const thereId = yield* sandboxOf(there, { templateId: "python" })
        const reference = timed(bare(code, SIZE))
        const count = rounds(effort, 7)
        const direct = yield* inTurns(count, timed(ours(here, hereId, code, SIZE)), reference, 1)
        const overHttp = yield* inTurns(count, timed(ours(there, thereId, code, SIZE)), reference, 1)
        return [
          rates(direct, SIZE / MB, 0.6, "in this process", "MB/s"),
          rates(overHttp, SIZE / MB, 0.35, "over HTTP", "MB/s")
        ]
      })).pipe(Effect.mapError(failed))
  },
  {
    id: "long-line",
    title: "one line of 22 MB, by runCode with onStdout, for each MB",
    reference: "one line of 1 MB, likewise",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        const line = (bytes: number) => timed(sdk.runCode(id, oneLine(bytes), { onStdout: () => {} }))
        const found = yield* inTurns(
          rounds(effort, 20),
          Effect.map(line(LINE), (ms) => ms / (LINE / MB)),
          line(MB)
        )
        const [mine, reference] = [series(found.ours), series(found.reference)]
        return [{
          part: "",
          unit: "ms/MB",
          ours: mine,
          reference,
          value: mine.median / reference.median,
          goal: { atMost: 1.3 }
        }]
      })).pipe(Effect.mapError(failed))
  }
]
