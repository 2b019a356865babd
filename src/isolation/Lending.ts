/**
 * Opens what the agent of a sandbox has open, by the kernel's list of its descriptors (proc(5), `/proc/pid/fd`).
 *
 * The number is the agent's word, and an agent may be in hostile hands. So nothing is opened but plain files that belong
 * to the user of this sandbox, on the file system of its workspace: the agent itself may do as it likes with those. The
 * file is held by a descriptor that allows nothing (open(2), `O_PATH`) while it is looked at, so that it cannot be another
 * one when it is opened; and what cannot be written where the agent sees it (a read-only mount) cannot be written here.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { constants } from "node:fs"
import * as Fs from "node:fs/promises"
import { acquireRelease } from "../internal/finalizing.js"
import * as Host from "./Host.js"
import * as Owner from "./Owner.js"

/**
 * Why a file is not opened.
 */
export interface Refusal {
  readonly reason: string
}

/**
 * For what a file is opened. `direct`: to be written around the kernel's cache of it (open(2), `O_DIRECT`).
 */
export type Access = "read" | "write" | "direct"

/**
 * Opens the file that a process has open at a descriptor, until the scope closes; then what is under way is waited for.
 */
export type Lending = (
  descriptor: number,
  access: Access
) => Effect.Effect<Fs.FileHandle, Refusal, Scope.Scope>

/** Of Linux, on x64 and arm64; Node has no name for it. */
const O_PATH = 0o10000000

/** A lease of somebody else's must not hold this up, nor a terminal become this process' own. */
const CAREFULLY = constants.O_NONBLOCK | constants.O_NOCTTY

const ACCESS: Record<Access, number> = {
  read: constants.O_RDONLY,
  write: constants.O_WRONLY,
  direct: constants.O_WRONLY | constants.O_DIRECT
}

const openFile = (path: string, flags: number) =>
  Effect.tryPromise({ try: () => Fs.open(path, flags), catch: (cause): Refusal => ({ reason: String(cause) }) })

const close = (file: Fs.FileHandle) => Effect.promise(() => file.close().catch(() => undefined))

/**
 * Makes it for the agent of a sandbox. The workspace is mounted.
 */
export const make = Effect.fnUntraced(function*(agent: Owner.Process, workspace: string): Effect.fn.Return<Lending> {
  const folder = Option.map(yield* Host.lstat(workspace), ({ dev, uid }) => ({ dev, uid }))

  const check = (pinned: Fs.FileHandle) =>
    Effect.gen(function*() {
      const stats = yield* Effect.promise(() => pinned.stat())
      // It has been this process all along: a number is used again only when its process is gone.
      if (!(yield* Owner.isRunning(agent))) {
        return yield* Effect.fail({ reason: "the agent has ended" })
      }
      if (!stats.isFile() || !Option.exists(folder, ({ dev, uid }) => dev === stats.dev && uid === stats.uid)) {
        return yield* Effect.fail({ reason: "it is no file of the workspace" })
      }
    })

  return (descriptor, access) =>
    acquireRelease(
      Effect.acquireUseRelease(
        openFile(`/proc/${agent.pid}/fd/${descriptor}`, O_PATH),
        (pinned) => Effect.zipRight(check(pinned), openFile(`/proc/self/fd/${pinned.fd}`, ACCESS[access] | CAREFULLY)),
        close
      ),
      close
    )
})
