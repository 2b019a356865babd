/**
 * The templates that users have made, on disk.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { SandboxError } from "../Errors.js"
import { SandboxTemplate } from "../Template.js"
import { DRAFT, replaceFile } from "./JsonFile.js"

/**
 * Keeps templates.
 */
export interface TemplateStore {
  /** Oldest first. A file that is no template is left alone and logged. */
  readonly load: Effect.Effect<ReadonlyArray<SandboxTemplate>>
  readonly save: (template: SandboxTemplate) => Effect.Effect<void, SandboxError>
  readonly remove: (id: string) => Effect.Effect<void>
}

const TemplateFile = Schema.parseJson(SandboxTemplate)
const encode = Schema.encodeSync(TemplateFile)
const decode = Schema.decodeUnknownEither(TemplateFile)

/**
 * A file for each template in `directory`, which is there.
 */
export const makeTemplateStore = (directory: string): TemplateStore => {
  const read = Effect.fnUntraced(function*(name: string) {
    const path = Path.join(directory, name)
    const template = decode(yield* Effect.promise(() => Fs.readFile(path, "utf8").catch(() => undefined)))
    if (Either.isRight(template)) {
      return [template.right]
    }
    yield* Effect.logWarning("A template could not be read").pipe(Effect.annotateLogs({ path }))
    return []
  })

  return {
    load: Effect.gen(function*() {
      const names = yield* Effect.promise(() => Fs.readdir(directory).catch(() => []))
      // What a killed engine was in the middle of writing.
      for (const name of names.filter((name) => name.endsWith(DRAFT))) {
        yield* Effect.promise(() => Fs.rm(Path.join(directory, name), { force: true }))
      }
      const files = names.filter((name) => name.endsWith(".json"))
      const templates = yield* Effect.forEach(files, read, { concurrency: 16 })
      return templates.flat().sort((a, b) => a.createdAt - b.createdAt)
    }),
    save: (template) => replaceFile(Path.join(directory, `${template.id}.json`), encode(template)),
    remove: (id) => Effect.promise(() => Fs.rm(Path.join(directory, `${id}.json`), { force: true }))
  }
}
