/**
 * Sandboxes as the host sees them.
 */
import { Effect } from "effect"
import * as Fs from "node:fs/promises"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import type { Service } from "../../src/SandboxSDK.js"
import { processesWith } from "../support/processes.js"

const namespaceOf = (pid: string): Promise<string | undefined> =>
  Fs.readlink(`/proc/${pid}/ns/pid`).catch(() => undefined)

/** Whether a process is the first of its namespace (proc_pid_status(5): the last number of `NSpid`). */
const isFirst = (pid: string): Promise<boolean> =>
  Fs.readFile(`/proc/${pid}/status`, "utf8").then((text) => /^NSpid:.*\t1$/m.test(text), () => false)

/** The first process of the process namespace of this one, which everything in it ends with. */
const firstOf = async (pid: string): Promise<number | undefined> => {
  const namespace = await namespaceOf(pid)
  if (namespace === undefined || namespace === await namespaceOf("self")) return undefined
  const all = (await Fs.readdir("/proc")).filter((name) => /^\d+$/.test(name))
  const members = await Promise.all(
    all.map(async (one) => await namespaceOf(one) === namespace && await isFirst(one) ? one : undefined)
  )
  const first = members.find((one) => one !== undefined)
  return first === undefined ? undefined : Number(first)
}

/**
 * The process number, on this host, of a sandbox that runs on it in a process namespace of its own, whatever isolates
 * it. A process is started in it for that, with this name, which must be nobody else's.
 */
export const findFirst = (
  sdk: Service,
  sandboxId: string,
  name: string
): Effect.Effect<number | undefined, AnySandboxSDKError> =>
  Effect.gen(function*() {
    yield* sdk.runTerminal(sandboxId, `setsid bash -c 'exec -a ${name} sleep 1000' >/dev/null 2>&1 &`)
    for (let tries = 0; tries < 200; tries++) {
      const [pid] = yield* processesWith(name)
      if (pid !== undefined) return yield* Effect.promise(() => firstOf(pid))
      yield* Effect.sleep("10 millis")
    }
    return undefined
  })

/** Ends it without notice. */
export const kill = (pid: number): Effect.Effect<void> =>
  Effect.sync(() => {
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It has ended by itself.
    }
  })
