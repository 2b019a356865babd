/**
 * The API keys of `sandbox serve` in a file, which is read again when it has changed.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { createHash } from "node:crypto"
import type { ApiKey, ApiKeysService, KnownKey } from "../server/ApiKeys.js"
import { CliError, Status } from "./CliError.js"
import * as Local from "./Local.js"
import * as Output from "./Output.js"

/** How often the file is looked at, in milliseconds. */
const LOOK_MS = 1_000

/** Of the mode of a file: others than its owner may read it. */
const READABLE_BY_OTHERS = 0o044

/** Only the hash of a key is kept; `isPlain` says that the key itself is in the file. */
interface Line {
  readonly hash: string
  readonly user: string | undefined
  readonly isPlain: boolean
}

/**
 * The keys of a text: one a line, `KEY` or `sha256:HASH`, and after a space the user, if it is not to be one of its own.
 * Empty lines and those that begin with `#` are left out. Fails with what is wrong, without any part of a key.
 */
const parse = (path: string, text: string): Effect.Effect<ReadonlyArray<Line>, CliError> =>
  Effect.forEach(
    text.split(/\r?\n/).map((line, index) => ({ words: line.trim().split(/\s+/), number: index + 1 })).filter(
      ({ words: [first = ""] }) => first !== "" && !first.startsWith("#")
    ),
    ({ number, words: [key = "", user, ...more] }): Effect.Effect<Line, CliError> => {
      const wrong = (what: string) =>
        Effect.fail(new CliError({ message: `${path}, line ${number}: ${what}`, status: Status.usage }))
      if (more.length > 0) {
        return wrong("a line has a key, and perhaps the name of a user, which has no spaces.")
      }
      if (key.startsWith("sha256:")) {
        return /^sha256:[0-9a-f]{64}$/i.test(key)
          ? Effect.succeed({ hash: key, user, isPlain: false })
          : wrong("a hash is `sha256:` and 64 hexadecimal digits, as `printf %s KEY | sha256sum` gives them.")
      }
      return /^[\x21-\x7e]+$/.test(key)
        ? Effect.succeed({ hash: `sha256:${createHash("sha256").update(key).digest("hex")}`, user, isPlain: true })
        : wrong("a key has visible ASCII characters only.")
    }
  )

/**
 * The keys of a file. Warns on standard error when others can read keys in it.
 */
export const read = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const text = yield* Effect.mapError(fs.readFileString(path), Local.unreadable(path))
    const lines = yield* parse(path, text)
    const stat = yield* Local.stat(path)
    if (Option.exists(stat, ({ mode }) => (mode & READABLE_BY_OTHERS) !== 0) && lines.some(({ isPlain }) => isPlain)) {
      yield* Output.line(
        "stderr",
        `Others can read the keys in ${path}: keep it to yourself (chmod 600), or hash them.`
      )
    }
    return lines.map(({ hash, user }): ApiKey => ({ hash, user }))
  })

/** Changes with the file. */
const versionOf = (path: string) =>
  Effect.map(
    Effect.option(Local.stat(path)),
    (stat) =>
      Option.match(Option.flatten(stat), {
        onNone: () => "",
        onSome: ({ ino, mtime, size }) =>
          [Option.getOrElse(ino, () => 0), Option.match(mtime, { onNone: () => 0, onSome: Number }), size].join(" ")
      })
  )

const count = (keys: ReadonlyArray<KnownKey>, what: string): ReadonlyArray<string> =>
  keys.length === 0 ? [] : [`${keys.length} ${what}`]

/**
 * Makes the keys those of the file, beside the ones that were given otherwise, whenever `soon` succeeds and whenever the
 * file has changed; says so on standard error. A file that is malformed or missing changes nothing.
 */
export const follow = <E, R>(
  path: string,
  keys: ApiKeysService,
  given: ReadonlyArray<ApiKey | Redacted.Redacted>,
  options: {
    /** Waits until the file is to be read at once. */
    readonly soon: Effect.Effect<void>
    readonly onAdded: (added: ReadonlyArray<KnownKey>) => Effect.Effect<void, E, R>
  }
) =>
  Effect.gen(function*() {
    let seen = yield* versionOf(path)

    const load = Effect.gen(function*() {
      const { added, revoked } = yield* Effect.flatMap(read(path), (found) => keys.replace([...given, ...found]))
      const changes = [...count(added, "added"), ...count(revoked, "revoked")]
      yield* Output.line("stderr", `Read ${path}: ${changes.length === 0 ? "the same keys" : changes.join(", ")}.`)
      yield* options.onAdded(added)
    }).pipe(
      Effect.catchAll((error) =>
        Output.line(
          "stderr",
          `${error instanceof Error ? error.message : String(error)} The API keys stay as they are.`
        )
      )
    )

    /** Once it has changed and then not any more, for whoever writes it may be in the middle. */
    const changed: Effect.Effect<void, never, FileSystem.FileSystem> = Effect.gen(function*() {
      let last = seen
      for (;;) {
        yield* Effect.sleep(LOOK_MS)
        const now = yield* versionOf(path)
        if (now === last && now !== seen) {
          return
        }
        last = now
      }
    })

    return yield* Effect.forever(
      Effect.gen(function*() {
        yield* Effect.raceFirst(changed, options.soon)
        seen = yield* versionOf(path)
        yield* load
      })
    )
  })
