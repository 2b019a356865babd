/**
 * `sandbox snapshots`: the files of a server's sandboxes, as they were.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Arguments from "./Arguments.js"
import * as Output from "./Output.js"
import * as Progress from "./Progress.js"
import { removing } from "./Remove.js"
import * as Table from "./Table.js"
import * as Target from "./Target.js"

const create = Command.make(
  "create",
  {
    id: Arguments.text("ID").pipe(Args.withDescription("The sandbox; it goes on")),
    name: Options.text("name").pipe(
      Options.withPseudoName("NAME"),
      Options.withDescription("What the snapshot is called"),
      Options.optional
    ),
    server: Target.server
  },
  ({ id, name, server }) =>
    Effect.gen(function*() {
      const service = yield* Target.openServer(server)
      const snapshot = yield* service.snapshotSandbox(
        id,
        Option.match(name, { onNone: () => ({}), onSome: (name) => ({ name }) })
      )
      yield* Output.line("stdout", snapshot.id)
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("Keep the files of a sandbox as they are now; print the id of the snapshot"))

const remove = removing({
  kind: "snapshots",
  description: "Delete snapshots of a server; print the id of each",
  remove: (service, id) => service.deleteSnapshot(id)
})

/**
 * The command.
 */
export const command = Command.make(
  "snapshots",
  {
    json: Options.boolean("json").pipe(Options.withDescription("Print a JSON array")),
    sandbox: Options.text("sandbox").pipe(
      Options.withPseudoName("ID"),
      Options.withDescription("Only those of this sandbox"),
      Options.optional
    ),
    server: Target.server
  },
  ({ json, sandbox, server }) =>
    Effect.gen(function*() {
      const service = yield* Target.openServer(server)
      const snapshots = yield* service.listSnapshots(
        Option.match(sandbox, { onNone: () => ({}), onSome: (sandboxId) => ({ sandboxId }) })
      )
      if (json) {
        return yield* Table.printJson(snapshots)
      }
      const rows = yield* Effect.forEach(snapshots, ({ createdAt, id, name, sandboxId, sizeBytes, templateId }) =>
        Effect.map(Table.distance(createdAt), (created) => [
          id,
          name ?? "-",
          sandboxId,
          templateId,
          created,
          Progress.size(sizeBytes)
        ]))
      yield* Table.print(["ID", "NAME", "SANDBOX", "TEMPLATE", "CREATED", "SIZE"], rows)
    }).pipe(Effect.scoped)
).pipe(
  Command.withDescription("List the snapshots of a server's sandboxes"),
  Command.withSubcommands([create, remove])
)
