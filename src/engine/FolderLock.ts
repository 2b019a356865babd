/**
 * Takes a folder for one engine alone, for as long as that lives.
 *
 * Who has the folder stands in `owner.N`, of which the one with the highest number counts; an empty one says that nobody
 * has. To take the folder is to make the next number, which link(2) lets only one succeed in, and never with a half-written
 * file. Numbers are not used again, so whoever looked before another took it comes too late.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as Host from "../isolation/Host.js"
import * as Owner from "../isolation/Owner.js"
import * as Beacon from "./Beacon.js"
import { DRAFT, hostFailure } from "./JsonFile.js"

/** `beacon` is where it says that it lives; `boot` names the run of the kernel in which it did. */
const Holder = Schema.parseJson(Schema.Struct({
  owner: Owner.Owner,
  boot: Schema.String,
  beacon: Schema.optional(Schema.String.pipe(Schema.pattern(/^[\w-]+$/)))
}))

type Holder = typeof Holder.Type

const decode = Schema.decodeUnknownOption(Holder)
const encode = Schema.encodeSync(Holder)

const boot = Effect.map(
  Host.readText("/proc/sys/kernel/random/boot_id"),
  Option.match({ onNone: () => "", onSome: (text) => text.trim() })
)

const NAME = /^owner\.(\d+)$/

const fileOf = (root: string, number: number): string => Path.join(root, `owner.${number}`)

/** The highest number; 0 when there is none. */
const latest = (root: string) =>
  Effect.map(Host.readFolder(root), (names) => Math.max(0, ...names.map((name) => Number(NAME.exec(name)?.[1] ?? 0))))

/** Whether that engine is certainly gone. */
const isGone = Effect.fnUntraced(function*(root: string, holder: Holder) {
  const seen = holder.beacon === undefined ? "unknown" : yield* Beacon.look(root, holder.beacon)
  return seen === "unknown"
    ? holder.boot !== (yield* boot) || (yield* Owner.isGone(holder.owner))
    : seen === "gone"
})

const inUse = (root: string, owner: string, file: string): SandboxError =>
  new SandboxError({
    code: "start_failed",
    message:
      `The data folder ${root} is in use by another engine (${owner}). Stop that one, or give this one a folder ` +
      `of its own; when there is certainly none, remove ${file}.`
  })

/** Fails when somebody has the folder by this number. */
const requireFree = Effect.fnUntraced(function*(root: string, number: number) {
  const file = fileOf(root, number)
  const text = number === 0 ? Option.none() : yield* Host.readText(file)
  if (Option.isNone(text)) {
    // Gone: it has just been taken by the next number.
    return (yield* Host.exists(file)) ? yield* inUse(root, "of another user", file) : undefined
  }
  if (text.value === "") {
    return
  }
  const holder = decode(text.value)
  if (Option.isNone(holder)) {
    return yield* inUse(root, "of another version", file)
  }
  if (!(yield* isGone(root, holder.value))) {
    return yield* inUse(root, `process ${holder.value.owner.pid}`, file)
  }
})

/** Whether this number was still to be had. */
const claim = (root: string, number: number, text: string): Effect.Effect<boolean, SandboxError> => {
  const file = fileOf(root, number)
  const draft = Path.join(root, `owner.${randomBytes(6).toString("hex")}${DRAFT}`)
  return Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => Fs.writeFile(draft, text, { mode: 0o600 }), catch: hostFailure("write", draft) }),
    () =>
      Effect.tryPromise(() => Fs.link(draft, file)).pipe(
        Effect.as(true),
        Effect.catchAll(({ error }) =>
          // The number is taken; or who took it has already tidied the draft away.
          error instanceof Error && "code" in error && (error.code === "EEXIST" || error.code === "ENOENT")
            ? Effect.succeed(false)
            : Effect.fail(hostFailure("write", file)(error))
        )
      ),
    () => Effect.promise(() => Fs.rm(draft, { force: true }))
  )
}

const take = Effect.fnUntraced(function*(root: string, text: string): Effect.fn.Return<number, SandboxError> {
  for (;;) {
    const number = yield* latest(root)
    yield* requireFree(root, number)
    if (yield* claim(root, number + 1, text)) {
      return number + 1
    }
  }
})

/** Removes what those before have left. */
const tidy = Effect.fnUntraced(function*(root: string, mine: number) {
  for (const name of yield* Host.readFolder(root)) {
    const number = NAME.exec(name)?.[1]
    if (number !== undefined ? Number(number) < mine : name.startsWith("owner.") && name.endsWith(DRAFT)) {
      yield* Effect.promise(() => Fs.rm(Path.join(root, name), { force: true }))
    }
  }
  yield* Beacon.clear(root)
})

/**
 * Takes a folder until the scope closes. What an engine had taken that is gone, killed, or of a time before the last start
 * of this machine, is free.
 *
 * Fails with `start_failed` while another engine has it, and with `disk_full`.
 */
export const acquire = Effect.fn("FolderLock.acquire")(function*(
  root: string
): Effect.fn.Return<void, SandboxError, Scope.Scope> {
  const beacon = yield* Beacon.light(root)
  const text = encode({
    owner: yield* Owner.self,
    boot: yield* boot,
    ...(Option.isSome(beacon) ? { beacon: beacon.value } : {})
  })
  const mine = yield* Effect.acquireRelease(
    take(root, text),
    (number) => Effect.promise(() => Fs.truncate(fileOf(root, number)).catch(() => undefined))
  )
  yield* tidy(root, mine)
})
