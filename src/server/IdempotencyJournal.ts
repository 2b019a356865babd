/**
 * The file in which a server keeps what has become of requests with an `Idempotency-Key`, so that the next one knows it too.
 *
 * One JSON text a line, only ever added to: that a request is begun is written before it has any effect, its answer before
 * that is sent. Now and then the file is replaced by one without what nobody asks for any more. It survives the end of the
 * process, however that ends; it is not synced, so that a failure of power may take its last lines.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { SandboxError, SandboxSDKError } from "../Errors.js"
import { isNoSpace } from "../isolation/Host.js"

const known = { user: Schema.String, key: Schema.String, fingerprint: Schema.String, at: Schema.Finite }

/** A request that may have had an effect from here on. */
const Begun = Schema.TaggedStruct("Begun", known)

/** Its answer. Without `body`, that was too large to be kept. */
const Done = Schema.TaggedStruct("Done", {
  ...known,
  status: Schema.Int,
  headers: Schema.Record({ key: Schema.String, value: Schema.String }),
  body: Schema.optional(Schema.Uint8ArrayFromBase64)
})

/** It was refused, and has had no effect. */
const Released = Schema.TaggedStruct("Released", { user: Schema.String, key: Schema.String })

/**
 * A line.
 */
export const JournalRecord = Schema.Union(Begun, Done, Released)

/**
 * A line.
 */
export type JournalRecord = typeof JournalRecord.Type

const Line = Schema.parseJson(JournalRecord)
const encode = Schema.encodeSync(Line)
const decode = Schema.decodeUnknownEither(Line)

/**
 * The file.
 */
export interface IdempotencyJournal {
  /** What it held when it was opened, oldest first. A line that is torn is left out. */
  readonly records: ReadonlyArray<JournalRecord>
  /** Adds a line; it is in the file when this succeeds. Fails with `SandboxError` `disk_full` or `start_failed`. */
  readonly append: (record: JournalRecord) => Effect.Effect<void, SandboxError>
}

/** Below this, the file is not replaced. */
const COMPACT_BYTES = 8 * 1024 * 1024

/** What a journal is called in its folder. */
export const JOURNAL_FILE = "requests.jsonl"

const reasonOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

const notWritten = (path: string) => (cause: unknown): SandboxError =>
  new SandboxError({
    code: isNoSpace(cause) ? "disk_full" : "start_failed",
    message: `The request was not carried out: the server could not note it in ${Path.basename(path)}, ` +
      `and so could not tell it from one that is made again (${reasonOf(cause)}).`
  })

const notOpened = (directory: string) => (cause: unknown): SandboxSDKError =>
  new SandboxSDKError({
    code: "invalid_config",
    field: "idempotency.directory",
    message: `layerServer: requests cannot be noted in ${directory}: ${reasonOf(cause)}`,
    cause
  })

const read = async (path: string): Promise<ReadonlyArray<JournalRecord>> => {
  const text = await Fs.readFile(path, "utf8").catch((cause: unknown) => {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") {
      return ""
    }
    throw cause
  })
  const records: Array<JournalRecord> = []
  for (const line of text.split("\n")) {
    // What is torn was never answered: a request that is begun only is told so.
    const record = line === "" ? undefined : Either.getOrUndefined(decode(line))
    if (record !== undefined) {
      records.push(record)
    }
  }
  return records
}

interface Waiting {
  readonly line: string
  readonly resume: (outcome: Effect.Effect<void, SandboxError>) => void
}

/**
 * Opens the journal in a folder, which is made when it is not there.
 *
 * @param current what a fresh file is to hold: asked each time that the file is replaced.
 */
export const open = (
  directory: string,
  current: () => Iterable<JournalRecord>
): Effect.Effect<IdempotencyJournal, SandboxSDKError, Scope.Scope> =>
  Effect.gen(function*() {
    const path = Path.join(directory, JOURNAL_FILE)
    const attempt = <A>(f: () => Promise<A>) => Effect.tryPromise({ try: f, catch: notOpened(directory) })
    yield* attempt(() => Fs.mkdir(directory, { recursive: true }))
    const records = yield* attempt(() => read(path))
    // Only its owner can read it: answers hold what users have.
    let file = yield* attempt(() => Fs.open(path, "a", 0o600))
    let size = (yield* attempt(() => file.stat())).size
    let compactAt = Math.max(COMPACT_BYTES, 2 * size)
    // The file may end in the middle of a line.
    let isTorn = true
    let isBusy = false
    let waiting: Array<Waiting> = []

    const write = async (text: string): Promise<void> => {
      const bytes = Buffer.from(isTorn ? `\n${text}` : text)
      try {
        await file.appendFile(bytes)
        size += bytes.length
        isTorn = false
      } catch (cause) {
        isTorn = true
        await file.truncate(size).catch(() => undefined)
        throw cause
      }
    }

    const replace = async (): Promise<void> => {
      const draft = `${path}.${randomBytes(6).toString("hex")}.new`
      try {
        let text = ""
        for (const record of current()) {
          text += `${encode(record)}\n`
        }
        const fresh = await Fs.open(draft, "a", 0o600)
        await fresh.appendFile(text).then(() => Fs.rename(draft, path)).catch(async (cause: unknown) => {
          await fresh.close()
          throw cause
        })
        await file.close().catch(() => undefined)
        file = fresh
        size = Buffer.byteLength(text)
        isTorn = false
      } catch {
        // The old one is as good, only longer.
        await Fs.rm(draft, { force: true }).catch(() => undefined)
      }
      compactAt = Math.max(COMPACT_BYTES, 2 * size)
    }

    /** Writes all that waits at once, over and over, and replaces the file when it has grown too large. */
    const flush = async (): Promise<void> => {
      while (waiting.length > 0) {
        const batch = waiting
        waiting = []
        const outcome = await write(batch.map(({ line }) => line).join("")).then(
          () => Effect.void,
          (cause: unknown) => Effect.fail(notWritten(path)(cause))
        )
        for (const { resume } of batch) {
          resume(outcome)
        }
        if (size >= compactAt) {
          await replace()
        }
      }
      isBusy = false
    }

    yield* Effect.addFinalizer(() => Effect.promise(() => file.close().catch(() => undefined)))
    return {
      records,
      append: (record) =>
        Effect.async((resume) => {
          waiting.push({ line: `${encode(record)}\n`, resume })
          if (!isBusy) {
            isBusy = true
            void flush()
          }
        })
    }
  })
