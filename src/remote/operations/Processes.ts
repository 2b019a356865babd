/**
 * Operations on processes.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import { BYTES } from "../../api/Streams.js"
import {
  decodeArguments,
  decodeProcess,
  normalizeDirectory,
  requireId,
  requireInput,
  requireSignal
} from "../../internal/arguments.js"
import type { ProcessOperations } from "../../internal/groups.js"
import { TerminalSize } from "../../Process.js"
import type { Client } from "../Client.js"
import * as Segment from "../Segment.js"

/** One request brings no more; what is longer comes in several. */
const PIECE_BYTES = 256 * 1024

const decodeSize = decodeArguments(TerminalSize, "resizeTerminal", "size")

const requireSandbox = (operation: string, id: unknown) => Effect.flatMap(requireId(operation, id), Segment.sandbox)

const requireExecution = (operation: string, executionId: unknown) =>
  Effect.flatMap(requireId(operation, executionId, "executionId"), Segment.execution)

const piecesOf = (bytes: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from(
    { length: Math.max(1, Math.ceil(bytes.length / PIECE_BYTES)) },
    (_, index) => bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)
  )

/**
 * Makes the operations.
 */
export const processOperations = ({ metrics, request }: Client): ProcessOperations => ({
  startProcess: Effect.fn("SandboxSDK.startProcess")(function*(input, startOptions) {
    const { envs, ...options } = yield* decodeProcess(startOptions)
    yield* normalizeDirectory("startProcess", options.cwd ?? "/workspace")
    const id = yield* requireSandbox("startProcess", input)
    const payload = envs === undefined ? options : { ...options, envVars: envs }
    return yield* request(
      { operation: "startProcess", effect: "once" },
      (api) => api.processes.start({ path: { id }, payload })
    )
  }, metrics.track("startProcess")),
  listProcesses: Effect.fn("SandboxSDK.listProcesses")(function*(input) {
    const id = yield* requireSandbox("listProcesses", input)
    return yield* request(
      { operation: "listProcesses", effect: "none" },
      (api) => api.processes.list({ path: { id } })
    )
  }, metrics.track("listProcesses")),
  writeStdin: Effect.fn("SandboxSDK.writeStdin")(function*(input, data) {
    const bytes = yield* requireInput(data)
    const executionId = yield* requireExecution("writeStdin", input)
    for (const piece of piecesOf(bytes)) {
      yield* request(
        {
          operation: "writeStdin",
          effect: "once",
          body: HttpBody.uint8Array(piece, BYTES),
          // A program may take its time to read.
          limitTime: (answer) => answer
        },
        (api) => api.processes.writeStdin({ path: { executionId } })
      )
    }
  }, metrics.track("writeStdin")),
  closeStdin: Effect.fn("SandboxSDK.closeStdin")(function*(input) {
    const executionId = yield* requireExecution("closeStdin", input)
    yield* request(
      { operation: "closeStdin", effect: "repeatable" },
      (api) => api.processes.closeStdin({ path: { executionId } })
    )
  }, metrics.track("closeStdin")),
  signalProcess: Effect.fn("SandboxSDK.signalProcess")(function*(input, name) {
    const signal = yield* requireSignal(name)
    const executionId = yield* requireExecution("signalProcess", input)
    yield* request(
      { operation: "signalProcess", effect: "once" },
      (api) => api.processes.signal({ path: { executionId }, payload: { signal } })
    )
  }, metrics.track("signalProcess")),
  resizeTerminal: Effect.fn("SandboxSDK.resizeTerminal")(function*(input, wanted) {
    const payload = yield* decodeSize(wanted)
    const executionId = yield* requireExecution("resizeTerminal", input)
    yield* request(
      { operation: "resizeTerminal", effect: "repeatable" },
      (api) => api.processes.resize({ path: { executionId }, payload })
    )
  }, metrics.track("resizeTerminal"))
})
