/**
 * Runs of commands.
 */
import { Effect, Stream } from "effect"
import { SandboxError } from "../../../src/Errors.js"
import type { TerminalEvent } from "../../../src/Execution.js"
import { orSeeError, seeEvents } from "./events.js"
import { program, type Shape, stderrOf, stdoutOf } from "./programs.js"
import type { Workload } from "./Workload.js"

/** Bytes that are no text. */
const RAW = Buffer.from([0xff, 0xfe, 0xc3, 0x28, 0x0a])

const printRaw = `printf '${[...RAW].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}'`

/** 128 and the number of SIGKILL. */
const KILLED = 137

/** That it was killed is one way for a command to end. Here it is an error as everywhere. */
const orFail = (event: TerminalEvent) =>
  event._tag === "Ended" && event.exitCode === KILLED
    ? Effect.fail(new SandboxError({ code: "kernel_died", message: "The command was killed." }))
    : Effect.void

/** As a stream, with bytes that are no text, and an exit status. */
export const streamed = (name: string, shape: Shape): Workload => ({
  name,
  isCounted: true,
  said: () => ({
    stdout: Buffer.concat([Buffer.from(stdoutOf(shape)), RAW]),
    stderr: Buffer.from(stderrOf),
    end: Buffer.from("3\n")
  }),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    seeEvents(
      witness,
      Stream.tap(
        sdk.runTerminalStream(sandboxId, `${program.bash(counter, mark, shape)}\n${printRaw}\nexit 3`),
        orFail
      )
    )
})

/** As few bytes as a run can have. */
export const tiny = (name: string): Workload => ({
  name,
  isCounted: true,
  said: () => ({ stdout: Buffer.from("ж漢😀\n"), end: Buffer.from("0\n") }),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    seeEvents(witness, sdk.runTerminalStream(sandboxId, `echo ${mark} >> ${counter}; echo ж漢😀`))
})

/** As a call, which gives both streams as one. */
export const called = (name: string, shape: Shape): Workload => ({
  name,
  isCounted: true,
  said: () => ({ stdout: Buffer.from(stdoutOf(shape) + stderrOf) }),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    sdk.runTerminal(sandboxId, program.bash(counter, mark, shape)).pipe(
      Effect.map((output) => witness.see("stdout", output)),
      (call) => orSeeError(witness, call)
    )
})
