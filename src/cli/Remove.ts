/**
 * `sandbox rm`: ends sandboxes of a server.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Arguments from "./Arguments.js"
import * as Output from "./Output.js"
import * as Target from "./Target.js"

const ids = Arguments.text("ID").pipe(Args.withDescription("The sandboxes to delete, by their ids"), Args.atLeast(1))

/**
 * The command.
 */
export const command = Command.make(
  "rm",
  { ids, server: Target.server },
  ({ ids, server }) =>
    Effect.gen(function*() {
      const service = yield* Target.openServer(server)
      yield* Effect.forEach(
        ids,
        (id) => Effect.zipRight(service.deleteSandbox(id), Output.line("stdout", id)),
        { discard: true }
      )
    }).pipe(Effect.scoped)
).pipe(Command.withDescription(
  "Delete sandboxes of a server, with their files; print the id of each. One that is gone already is no error"
))
