/**
 * `sandbox templates`: what a sandbox can be made from, on this machine or a server; with `build`, `builds` and `rm`, those of
 * one's own on a server.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"
import type { Service } from "../SandboxSDK.js"
import type { TemplateConfig } from "../Template.js"
import type { BuildEvent } from "../TemplateBuild.js"
import { allTemplates } from "./AllTemplates.js"
import * as Arguments from "./Arguments.js"
import { CliError, Status } from "./CliError.js"
import * as Durations from "./Durations.js"
import * as Output from "./Output.js"
import * as PlainText from "./PlainText.js"
import * as Progress from "./Progress.js"
import { removing } from "./Remove.js"
import * as Table from "./Table.js"
import * as Target from "./Target.js"
import * as TemplateFiles from "./TemplateFiles.js"

const json = Options.boolean("json").pipe(Options.withDescription("Print a JSON array"))

/** The log of a build goes to standard error, so that standard output has the id alone. */
const show = (event: BuildEvent): Effect.Effect<void, CliError> => {
  switch (event._tag) {
    case "BuildStarted":
      return Effect.void
    case "BuildStep":
      return Output.line("stderr", PlainText.message(`$ ${event.command}`))
    case "BuildOutput":
      return Output.write("stderr", Output.isTerminal("stderr") ? PlainText.message(event.text) : event.text)
    case "BuildEnded": {
      const dropped = event.dropped === undefined || event.dropped === 0
        ? Effect.void
        : Output.line("stderr", `The log had no room for ${Progress.size(event.dropped)} of output.`)
      return Effect.zipRight(
        dropped,
        event.error === undefined
          ? Effect.void
          : new CliError({ message: event.error.message, status: Status.software })
      )
    }
  }
}

/** One that fails, or is not waited for any more, leaves no template, as `createTemplate` itself has it. */
const make = (service: Service, config: TemplateConfig): Effect.Effect<string, RequestError | CliError> =>
  Effect.acquireUseRelease(
    service.createTemplate(config, { wait: false }),
    ({ build, id }) =>
      build === undefined
        ? Effect.succeed(id)
        : Effect.as(Stream.runForEach(service.streamTemplateBuild(id), show), id),
    ({ id }, exit) => Exit.isSuccess(exit) ? Effect.void : Effect.ignore(service.deleteTemplate(id))
  )

const build = Command.make(
  "build",
  {
    file: Arguments.text("FILE").pipe(
      Args.withDescription("A template, as createTemplate takes it: a JSON object with name, language, version, …")
    ),
    server: Target.server
  },
  ({ file, server }) =>
    Effect.gen(function*() {
      const config = yield* TemplateFiles.readOne(file)
      const service = yield* Target.openServer(server)
      yield* Output.line("stdout", yield* make(service, config))
    }).pipe(Effect.scoped)
).pipe(Command.withDescription(
  "Make a template on a server; the log of its build as it is written, on standard error, and the id at the end"
))

const builds = Command.make(
  "builds",
  { id: Arguments.text("ID").pipe(Args.withDescription("The template")), json, server: Target.server },
  ({ id, json, server }) =>
    Effect.gen(function*() {
      const service = yield* Target.openServer(server)
      const all = yield* service.getTemplateBuilds(id)
      if (json) {
        return yield* Table.printJson(all)
      }
      const rows = yield* Effect.forEach(all, ({ endedAt, error, id, sizeBytes, startedAt, status }) =>
        Effect.map(Table.distance(startedAt), (started) => [
          id,
          status,
          started,
          endedAt === undefined ? "-" : Durations.show(endedAt - startedAt),
          sizeBytes === undefined ? "-" : Progress.size(sizeBytes),
          error?.code ?? "-"
        ]))
      yield* Table.print(["ID", "STATUS", "STARTED", "TOOK", "SIZE", "ERROR"], rows)
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("List the builds of a template of a server"))

const remove = removing({
  kind: "templates",
  description:
    "Delete templates of one's own on a server; print the id of each. Sandboxes that were made from them stay",
  remove: (service, id) => service.deleteTemplate(id)
})

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
).pipe(
  Command.withDescription("List the templates of this machine, or of a server"),
  Command.withSubcommands([build, builds, remove])
)
