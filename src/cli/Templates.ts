/**
 * `sandbox templates`: what a sandbox can be made from.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import { allTemplates } from "./AllTemplates.js"
import * as Table from "./Table.js"
import * as Target from "./Target.js"

const json = Options.boolean("json").pipe(Options.withDescription("Print a JSON array"))

/**
 * The command.
 */
export const command = Command.make(
  "templates",
  { json, server: Target.optionalServer },
  ({ json, server }) =>
    Effect.gen(function*() {
      const service = yield* Target.open(server)
      const templates = yield* allTemplates(service)
      if (json) {
        return yield* Table.printJson(templates)
      }
      yield* Table.print(
        ["ID", "NAME", "LANGUAGE", "VERSION"],
        templates.map(({ config, id }) => [id, config.name, config.language, config.version])
      )
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("List the templates of this machine, or of a server"))
