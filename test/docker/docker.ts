/**
 * The command line of Docker, to look at containers from outside.
 */
import { Effect } from "effect"
import { execFile } from "node:child_process"

/** What a command of `docker` prints, asked of the engine at an address; fails the test when it fails. */
export const dockerAt = (address?: string) => (...args: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const host = address === undefined ? [] : ["--host", address]
    execFile(
      "docker",
      [...host, ...args],
      (error, stdout) => resume(error === null ? Effect.succeed(stdout.trim()) : Effect.die(error))
    )
  })

/** The same of the usual one. */
export const docker = dockerAt()

/** The containers of this SDK with this in their names, running or not. */
export const containersOf = (name = ""): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    docker("ps", "--all", "--filter", "label=sandbox-sdk.owner", "--format", "{{.Names}}"),
    (text) => text.split("\n").filter((line) => line !== "" && line.includes(name))
  )
