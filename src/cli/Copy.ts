/**
 * `sandbox cp`: copies between this machine and a sandbox of a server.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Arguments from "./Arguments.js"
import { CliError, Status } from "./CliError.js"
import * as Input from "./Input.js"
import * as Progress from "./Progress.js"
import * as Target from "./Target.js"
import * as Transfer from "./Transfer.js"

const source = Arguments.text("SRC").pipe(
  Args.withDescription("A file or directory: ID:PATH in a sandbox, PATH on this machine, or - for standard input")
)

const destination = Arguments.text("DST").pipe(
  Args.withDescription("Where it goes, named alike; - is standard output")
)

/** A path with a colon in its first part is named with a slash before it: `./a:b`. */
const parse = (text: string) => {
  const [, id, path = ""] = /^([^/:]+):(.*)$/s.exec(text) ?? []
  return id === undefined ? { _tag: "Local" as const, path: text } : { _tag: "Remote" as const, id, path }
}

const usage = (message: string) => new CliError({ message, status: Status.usage })

/**
 * The command.
 */
export const command = Command.make(
  "cp",
  { source, destination, server: Target.server },
  ({ destination, server, source }) =>
    Effect.gen(function*() {
      const from = parse(source)
      const to = parse(destination)
      if (from._tag === to._tag) {
        return yield* usage(
          from._tag === "Local"
            ? "Neither of the two is in a sandbox: write ID:PATH for the one that is, such as sbx_abc:data.csv."
            : "Both are in sandboxes: copy to this machine first, or through a pipe: sandbox cp ID:PATH - | sandbox cp - ID:PATH."
        )
      }
      const service = yield* Target.openServer(server)
      const progress = yield* Progress.make
      if (from._tag === "Local" && to._tag === "Remote") {
        const sandbox = yield* Target.attach(service, to.id)
        yield* from.path === Input.STANDARD
          ? Transfer.uploadInput(sandbox, to.path, progress)
          : Transfer.upload(sandbox, from.path, to.path, progress)
        yield* progress.finished
      } else if (from._tag === "Remote") {
        const sandbox = yield* Target.attach(service, from.id)
        if (to.path === Input.STANDARD) {
          return yield* Transfer.downloadOutput(sandbox, from.path)
        }
        yield* Transfer.download(sandbox, from.path, to.path, progress)
        yield* progress.finished
      }
    }).pipe(Effect.scoped)
).pipe(Command.withDescription("Copy files and directories between this machine and a sandbox of a server"))
