/**
 * Programs that go on by themselves, as attempts use them.
 */
import { Effect, Option, Stream } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { StartProcessOptions } from "../../../src/Options.js"
import type { ProcessInfo } from "../../../src/Process.js"
import type { Arena } from "../Arena.js"

/** What is started without a time limit of its own goes with its sandbox. */
type How = Pick<StartProcessOptions, "pty" | "stdin">

/** Starts a program in Python, in a sandbox that it may not be alone in. */
export const starting = (
  { program, sandboxId, sdk }: Arena,
  name: string,
  code: string,
  how: How = {}
): Effect.Effect<ProcessInfo, AnySandboxSDKError> =>
  Effect.gen(function*() {
    yield* sdk.writeFile(sandboxId, `${name}.py`, program("python", code))
    return yield* sdk.startProcess(sandboxId, { args: ["python3", "-I", `/workspace/${name}.py`], ...how })
  })

const PATIENCE = "20 seconds"

/** What it has printed up to where a text comes, or up to its end, or until patience ends. */
export const printed = (
  { sdk }: Arena,
  executionId: string,
  text: string
): Effect.Effect<string, AnySandboxSDKError> =>
  sdk.attach(executionId).pipe(
    Stream.filterMap((event) =>
      event._tag === "Stdout" || event._tag === "Stderr" ? Option.some(event.text) : Option.none()
    ),
    Stream.scan("", (seen, more) => seen + more),
    Stream.takeUntil((seen) => seen.includes(text)),
    Stream.interruptAfter(PATIENCE),
    Stream.runLast,
    Effect.map(Option.getOrElse(() => ""))
  )
