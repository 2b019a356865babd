/**
 * `sandbox ls`: the sandboxes of a server.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Output from "./Output.js"
import * as Table from "./Table.js"
import * as Target from "./Target.js"

const json = Options.boolean("json").pipe(Options.withDescription("Print a JSON array"))

const quiet = Options.boolean("quiet").pipe(
  Options.withAlias("q"),
  Options.withDescription("Print only the ids, one a line")
)

/**
 * The command.
 */
export const command = Command.make(
  "ls",
  { json, quiet, server: Target.server },
  ({ json, quiet, server }) =>
    Effect.gen(function*() {
      const service = yield* Target.openServer(server)
      const sandboxes = yield* service.listSandboxes()
      if (json) {
        return yield* Table.printJson(sandboxes)
      }
      if (quiet) {
        return yield* Output.write("stdout", sandboxes.map(({ id }) => `${id}\n`).join(""))
      }
      const rows = yield* Effect.forEach(sandboxes, (sandbox) =>
        Effect.gen(function*() {
          const expires = sandbox.expiresAt === undefined ? "never" : yield* Table.distance(sandbox.expiresAt)
          const created = yield* Table.distance(sandbox.createdAt)
          return [sandbox.id, sandbox.name ?? "-", sandbox.templateId, sandbox.status, created, expires]
        }))
      yield* Table.print(["ID", "NAME", "TEMPLATE", "STATUS", "CREATED", "EXPIRES"], rows)
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("List the sandboxes of a server"))
