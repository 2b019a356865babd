/** What a page does with the core entry. It is bundled for the browser, and knows nothing of Node. */
import { Effect, Layer, Stream } from "effect"
import { Sandbox, SandboxConfig, SandboxSDK } from "../../src/index.js"

interface Options {
  readonly serverUrl: string
  readonly deadUrl: string
  readonly apiKey: string
}

const program = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  // The code goes on only when its first line has been seen here.
  const lines: Array<string> = []
  const { execution } = yield* sandbox.runCode(
    [
      "import os, time",
      "print('žluťoučký kůň 🦊', flush=True)",
      "while not os.path.exists('/workspace/seen'): time.sleep(0.01)",
      "print('seen')",
      "6 * 7"
    ].join("\n"),
    {
      onStdout: ({ line }) => {
        lines.push(line)
        return lines.length === 1 ? Effect.orDie(Effect.asVoid(sandbox.writeFile("seen", "yes"))) : Effect.void
      }
    }
  )

  const pieces = Stream.range(0, 47).pipe(Stream.map((index) => new Uint8Array(65_536).fill(index)))
  const written = yield* sandbox.writeFileStream("large.bin", pieces)
  let bytes = 0
  let sum = 0
  yield* Stream.runForEach(sandbox.readFileStream("large.bin"), (piece) =>
    Effect.sync(() => {
      bytes += piece.length
      sum += piece.reduce((total, byte) => total + byte, 0)
    }))

  const raised = yield* Effect.flip(sandbox.runCode("1 / 0"))
  const missing = yield* Effect.flip(sandbox.readFile("nowhere"))
  yield* Effect.timeoutOption(sandbox.runCode("open('began', 'w').close()\nwhile True: pass"), "1 seconds")
  const after = yield* sandbox.runCode("2 + 2")

  const metrics = yield* sdk.getMetrics
  return {
    lines,
    stdout: execution.logs.stdout,
    text: execution.text,
    written,
    bytes,
    sum,
    raised: raised._tag === "ExecutionError" ? raised.name : raised._tag,
    missing: missing._tag === "SandboxError" ? missing.code : missing._tag,
    after: after.execution.text,
    requests: metrics.totalRequests
  }
}).pipe(Effect.scoped)

const layer = (serverUrl: string, apiKey: string) =>
  SandboxSDK.layerFetch.pipe(Layer.provide(SandboxConfig.layer({ serverUrl, apiKey, maxRetries: 0 })))

const dead = Effect.flatMap(SandboxSDK, (sdk) => sdk.listSandboxes()).pipe(Effect.flip)

Object.assign(globalThis, {
  runProgram: ({ apiKey, deadUrl, serverUrl }: Options) =>
    Effect.runPromise(Effect.gen(function*() {
      const report = yield* Effect.provide(program, layer(serverUrl, apiKey))
      const { _tag, message } = yield* Effect.provide(dead, layer(deadUrl, apiKey))
      return { ...report, dead: { _tag, message } }
    }))
})
