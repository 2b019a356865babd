/**
 * Templates that are kept as files beside a server.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import type { Service } from "../SandboxSDK.js"
import { TemplateConfig } from "../Template.js"
import { allTemplates } from "./AllTemplates.js"
import { CliError, Status, statusOf } from "./CliError.js"
import * as Local from "./Local.js"

/** A template, and the file that it is in. */
interface TemplateFile {
  readonly path: string
  readonly config: TemplateConfig
}

/**
 * The template of a file: JSON, as `createTemplate` takes it.
 */
export const readOne = (file: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const decode = Schema.decodeUnknown(Schema.parseJson(TemplateConfig), { onExcessProperty: "error" })
    const text = yield* Effect.mapError(fs.readFileString(file), Local.unreadable(file))
    return yield* Effect.mapError(
      decode(text),
      (error) => new CliError({ message: `${file} is no template: ${error.message}`, status: Status.usage })
    )
  })

/**
 * The templates of a folder: one in each `*.json`.
 */
export const read = (directory: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* Effect.mapError(fs.readDirectory(directory), Local.unreadable(directory))
    return yield* Effect.forEach(names.filter((name) => name.endsWith(".json")).sort(), (name) => {
      const file = path.join(directory, name)
      return Effect.map(readOne(file), (config): TemplateFile => ({ path: file, config }))
    })
  })

/**
 * Gives a user these templates. One that is there under the same name stays when it is the same, and is replaced when not.
 */
export const load = (
  service: Service,
  user: string,
  files: ReadonlyArray<TemplateFile>
): Effect.Effect<void, RequestError | CliError> =>
  Effect.gen(function*() {
    const same = Schema.equivalence(TemplateConfig)
    yield* Effect.gen(function*() {
      const own = (yield* allTemplates(service)).filter((template) => !template.isPublic)
      for (const { config, path } of files) {
        const there = own.filter((template) => template.config.name === config.name)
        if (!there.some((template) => same(template.config, config))) {
          yield* service.createTemplate(config).pipe(
            Effect.mapError((error) => new CliError({ message: `${path}: ${error.message}`, status: statusOf(error) }))
          )
        }
        const old = there.filter((template) => !same(template.config, config))
        yield* Effect.forEach(old, (template) => service.deleteTemplate(template.id), { discard: true })
      }
    }).pipe(Effect.provideService(CurrentUser, user))
  })
