/**
 * `sandbox rm`: ends sandboxes of a server; and what its namesakes among the subcommands of others share with it.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import type { RequestError } from "../Errors.js"
import type { Service } from "../SandboxSDK.js"
import * as Arguments from "./Arguments.js"
import * as Output from "./Output.js"
import * as Target from "./Target.js"

/**
 * A command `rm` for one kind of thing. The id of each is printed once it is gone.
 */
export const removing = (options: {
  /** What they are, in the plural: `The … to delete, by their ids`. */
  readonly kind: string
  readonly description: string
  readonly remove: (service: Service, id: string) => Effect.Effect<void, RequestError>
}) =>
  Command.make(
    "rm",
    {
      ids: Arguments.text("ID").pipe(
        Args.withDescription(`The ${options.kind} to delete, by their ids`),
        Args.atLeast(1)
      ),
      server: Target.server
    },
    ({ ids, server }) =>
      Effect.gen(function*() {
        const service = yield* Target.openServer(server)
        yield* Effect.forEach(
          ids,
          (id) => Effect.zipRight(options.remove(service, id), Output.line("stdout", id)),
          { discard: true }
        )
      }).pipe(Effect.scoped)
  ).pipe(Command.withDescription(options.description))

/**
 * The command.
 */
export const command = removing({
  kind: "sandboxes",
  description:
    "Delete sandboxes of a server, with their files; print the id of each. One that is gone already is no error",
  remove: (service, id) => service.deleteSandbox(id)
})
