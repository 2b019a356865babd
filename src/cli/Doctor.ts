/**
 * `sandbox doctor`: what this host guarantees and by which mechanism, and what it lacks.
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Arr from "effect/Array"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Guarantee } from "../isolation/Guarantee.js"
import { CliError } from "./CliError.js"
import * as SystemPackages from "./SystemPackages.js"

const install = Options.boolean("install").pipe(
  Options.withDescription("Install the system packages that are missing, as root or through sudo, and do nothing else")
)

const packages = Options.text("packages").pipe(
  Options.withDescription("Further packages, by their Debian names and separated by commas, for --install"),
  Options.withDefault("")
)

const json = Options.boolean("json").pipe(Options.withDescription("Print one JSON value"))

/** The engine is loaded by the commands that need it, when they run. */
const engine = Effect.promise(() => import("../isolation/Doctor.js"))

const missingPackages = Effect.gen(function*() {
  const { missingPackages } = yield* engine
  return Arr.dedupe(Arr.map(yield* missingPackages, (missing) => missing.debianPackage))
})

const without = (packages: ReadonlyArray<string>) =>
  new CliError({
    message: `None of apt-get, dnf, apk and pacman is on this machine. Install by hand: ${packages.join(", ")}`
  })

const installMissing = (extra: ReadonlyArray<string>, asJson: boolean) =>
  Effect.gen(function*() {
    const report = (installed: ReadonlyArray<string>, line: string) =>
      Console.log(asJson ? JSON.stringify({ installed }) : line)
    const own = yield* missingPackages
    const found = yield* SystemPackages.find
    if (Option.isNone(found)) {
      return yield* own.length + extra.length === 0 ? report([], "Nothing is missing.") : without([...own, ...extra])
    }
    const manager = found.value
    const wanted = Arr.dedupe([...own, ...yield* SystemPackages.missing(manager, extra)])
    if (wanted.length === 0) {
      return yield* report([], "Nothing is missing.")
    }
    yield* SystemPackages.install(manager, wanted)
    const left = [...yield* missingPackages, ...yield* SystemPackages.missing(manager, extra)]
    if (left.length > 0) {
      return yield* new CliError({
        message:
          `${manager.program} succeeded, but there is still no ${left.join(", ")} on the search path. Look with:\n` +
          `  sandbox doctor`
      })
    }
    yield* report(wanted, `Installed ${wanted.join(", ")}.`)
  })

const describe = (guarantee: Guarantee): string => {
  const mark = !guarantee.holds ? "FAIL" : guarantee.soft === true ? "soft" : "ok  "
  const detail = guarantee.detail === undefined ? "" : ` (${guarantee.detail})`
  const fix = guarantee.fix === undefined ? "" : `\n      fix: ${guarantee.fix}`
  return `${mark}  ${guarantee.title}: ${guarantee.mechanism}${detail}${fix}`
}

const report = (asJson: boolean) =>
  Effect.gen(function*() {
    const { doctor, layer, missingPackages } = yield* engine
    const missing = yield* missingPackages
    const guarantees = missing.length > 0 ? [] : yield* doctor.pipe(Effect.provide(layer))
    const found = yield* SystemPackages.find
    const names = Arr.dedupe(missing.map((entry) => entry.debianPackage))
    const broken = guarantees.filter((guarantee) => !guarantee.holds)
    const ok = missing.length === 0 && broken.length === 0
    if (asJson) {
      yield* Console.log(JSON.stringify({ ok, missing, guarantees }, null, 2))
    } else {
      for (const guarantee of guarantees) {
        yield* Console.log(describe(guarantee))
      }
      for (const { debianPackage, name, purpose } of missing) {
        yield* Console.log(`FAIL  ${name} is missing (package ${debianPackage}): ${purpose}`)
      }
    }
    if (missing.length > 0) {
      return yield* Option.match(found, {
        onNone: () => without(names),
        onSome: (manager) =>
          new CliError({
            message: `To install what is missing, run \`sandbox doctor --install\`, or:\n  ${
              SystemPackages.advice(manager, names)
            }`
          })
      })
    }
    if (broken.length > 0) {
      return yield* new CliError({
        message: `This host does not give ${
          broken.map((guarantee) => guarantee.id).join(", ")
        }: sandboxes will not start.`
      })
    }
  })

/**
 * The command.
 */
export const command = Command.make(
  "doctor",
  { install, packages, json },
  (options) =>
    options.install
      ? installMissing(
        options.packages.split(",").map((name) => name.trim()).filter((name) => name !== ""),
        options.json
      )
      : report(options.json)
).pipe(Command.withDescription(
  "Probe each guarantee on this host with a real sandbox; print what enforces it, or what to install"
))
