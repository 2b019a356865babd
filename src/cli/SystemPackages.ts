/**
 * The machine's package manager: which packages are there, and how the missing ones are installed.
 *
 * Packages go by their Debian names; other distributions' names are derived from them.
 */
import * as PlatformCommand from "@effect/platform/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { CliError } from "./CliError.js"

/** A program and its arguments. */
type CommandLine = Arr.NonEmptyReadonlyArray<string>

/**
 * One package manager. `install` asks nothing and `byHand` is what a person would type; `refresh` downloads the list of
 * packages; `query` succeeds when a package is installed (and prints `installedMark`, where it succeeds for a removed
 * one too); `candidate` prints `mark` for a package that the downloaded list has.
 */
export interface PackageManager {
  readonly program: string
  readonly install: CommandLine
  readonly byHand: CommandLine
  readonly refresh: Option.Option<CommandLine>
  readonly query: CommandLine
  readonly installedMark: string
  readonly candidate: Option.Option<{ readonly command: CommandLine; readonly mark: RegExp }>
  readonly nameOf: (debianPackage: string) => string
}

/** Names that no rule gives. */
const pillow = "python3-pil"

const apt: PackageManager = {
  program: "apt-get",
  install: [
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=120",
    "install",
    "--yes",
    "--no-install-recommends"
  ],
  byHand: ["apt-get", "install", "--yes", "--no-install-recommends"],
  refresh: Option.some<CommandLine>(["apt-get", "update"]),
  query: ["dpkg-query", "--show", "--showformat=${db:Status-Status}"],
  installedMark: "installed",
  candidate: Option.some({ command: ["apt-cache", "policy"], mark: /Candidate: (?!\(none\))/ }),
  nameOf: (name) => name
}

const dnf: PackageManager = {
  program: "dnf",
  install: ["dnf", "install", "--assumeyes"],
  byHand: ["dnf", "install", "--assumeyes"],
  refresh: Option.none(),
  query: ["rpm", "--query"],
  installedMark: "",
  candidate: Option.none(),
  nameOf: (name) => name === pillow ? "python3-pillow" : name
}

const apk: PackageManager = {
  program: "apk",
  install: ["apk", "add", "--update-cache"],
  byHand: ["apk", "add", "--update-cache"],
  refresh: Option.none(),
  query: ["apk", "info", "--installed"],
  installedMark: "",
  candidate: Option.none(),
  nameOf: (name) => name === pillow ? "py3-pillow" : name.replace(/^python3-/, "py3-")
}

const pacman: PackageManager = {
  program: "pacman",
  install: ["pacman", "--sync", "--refresh", "--needed", "--noconfirm"],
  byHand: ["pacman", "--sync", "--refresh", "--needed", "--noconfirm"],
  refresh: Option.none(),
  query: ["pacman", "--query"],
  installedMark: "",
  candidate: Option.none(),
  nameOf: (name) => name === pillow ? "python-pillow" : name.replace(/^python3/, "python")
}

const managers = [apt, dnf, apk, pacman] as const

/**
 * The package manager of this machine, if it is one of `apt-get`, `dnf`, `apk` and `pacman`.
 */
export const find = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folders = (yield* Config.string("PATH").pipe(Config.withDefault("/usr/bin:/bin:/usr/sbin:/sbin"))).split(":")
  const isThere = (manager: PackageManager) =>
    Effect.exists(
      folders.filter((folder) => folder !== ""),
      (folder) => fs.exists(path.join(folder, manager.program)).pipe(Effect.orElseSucceed(() => false))
    )
  return yield* Effect.findFirst(managers, isThere)
}).pipe(Effect.orElseSucceed(Option.none<PackageManager>))

const toCommand = ([program, ...args]: CommandLine) =>
  PlatformCommand.make(program, ...args).pipe(PlatformCommand.stdin(Stream.empty))

/** What a command prints; nothing when it cannot be started. Its exit status is not looked at. */
const output = (line: CommandLine) => PlatformCommand.string(toCommand(line)).pipe(Effect.orElseSucceed(() => ""))

const exitCode = (line: CommandLine) => PlatformCommand.exitCode(toCommand(line)).pipe(Effect.orElseSucceed(() => 127))

/**
 * Those of `packages` that are not installed.
 */
export const missing = (manager: PackageManager, packages: ReadonlyArray<string>) =>
  Effect.filter(packages, (name) => {
    const line = Arr.append(manager.query, manager.nameOf(name))
    return manager.installedMark === ""
      ? Effect.map(exitCode(line), (code) => code !== 0)
      : Effect.map(output(line), (text) => text.trim() !== manager.installedMark)
  })

/** `[]` for root, `sudo -n` for who may use it without a password; fails for anybody else. */
const privilege = (advice: string) =>
  Effect.gen(function*() {
    if (process.getuid?.() === 0) {
      return []
    }
    if ((yield* exitCode(["sudo", "-n", "true"])) === 0) {
      return ["sudo", "-n"]
    }
    return yield* new CliError({
      message: `Packages can be installed by root only, and sudo is not there or asks for a password. Run:\n  ${advice}`
    })
  })

const quote = (word: string) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`

const show = (line: ReadonlyArray<string>) => line.map(quote).join(" ")

/** Runs a command with its output on our standard error, after a line that shows the command; gives its exit status. */
const runVisibly = (line: CommandLine) =>
  Effect.gen(function*() {
    yield* Console.error(`+ ${show(line)}`)
    const child = yield* PlatformCommand.start(toCommand(line).pipe(PlatformCommand.stderr("inherit")))
    yield* Stream.runForEach(child.stdout, (bytes) => Effect.sync(() => process.stderr.write(bytes)))
    return yield* child.exitCode
  }).pipe(
    Effect.scoped,
    Effect.catchAll((error) => Effect.as(Console.error(error.message), 127))
  )

/** Whether the downloaded list of packages has all of them; a fresh machine has no list at all. */
const listed = (manager: PackageManager, names: ReadonlyArray<string>) =>
  Option.match(manager.candidate, {
    onNone: () => Effect.succeed(true),
    onSome: ({ command, mark }) =>
      Effect.every(names, (name) => Effect.map(output(Arr.append(command, name)), (text) => mark.test(text)))
  })

/**
 * The line that a user would type to install `packages`.
 */
export const advice = (manager: PackageManager, packages: ReadonlyArray<string>): string => {
  const prefix = process.getuid?.() === 0 ? "" : "sudo "
  const refresh = Option.match(manager.refresh, { onNone: () => "", onSome: (line) => `${prefix}${show(line)} && ` })
  return `${refresh}${prefix}${show([...manager.byHand, ...packages.map(manager.nameOf)])}`
}

/**
 * Installs `packages`, as root or through `sudo -n`. Each command is printed before it runs, and its output goes to
 * standard error. The list of packages is downloaded first only when it lacks one of them, or when installing failed.
 *
 * Fails with `CliError` that holds the line to run by hand when this process may not install, or when it did not work.
 */
export const install = (manager: PackageManager, packages: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const names = packages.map(manager.nameOf)
    const line = advice(manager, packages)
    const prefix = yield* privilege(line)
    const run = (command: CommandLine) => {
      const [program = command[0], ...rest] = [...prefix, ...command]
      return runVisibly([program, ...rest])
    }
    const refresh = Option.match(manager.refresh, { onNone: () => Effect.succeed(0), onSome: run })
    const wasListed = yield* listed(manager, names)
    if (!wasListed) {
      yield* refresh
    }
    const installNow = run([...manager.install, ...names])
    let code: number = yield* installNow
    if (code !== 0 && wasListed && Option.isSome(manager.refresh)) {
      yield* refresh
      code = yield* installNow
    }
    if (code !== 0) {
      return yield* new CliError({
        message:
          `${manager.program} ended with exit status ${code}. When its complaint above is settled, run:\n  ${line}`
      })
    }
  })
