/**
 * The command line of Docker, to look at containers from outside.
 */
import { Effect } from "effect"
import { execFile } from "node:child_process"

/** What a command of `docker` prints; fails the test when it fails. */
export const docker = (...args: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    execFile("docker", [...args], (error, stdout) =>
      resume(error === null ? Effect.succeed(stdout.trim()) : Effect.die(error)))
  })

/** The containers of this SDK with this in their names, running or not. */
export const containersOf = (name = ""): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    docker("ps", "--all", "--filter", "label=sandbox-sdk.owner", "--format", "{{.Names}}"),
    (text) => text.split("\n").filter((line) => line !== "" && line.includes(name))
  )
