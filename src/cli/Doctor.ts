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

const image = Options.text("image").pipe(
  Options.withDescription(
    "Probe a container of this image, on the Docker Engine that DOCKER_HOST names, in place of this host"
  ),
  Options.optional
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

const print = (guarantees: ReadonlyArray<Guarantee>) =>
  Effect.forEach(guarantees, (guarantee) => Console.log(describe(guarantee)), { discard: true })

const failOn = (broken: ReadonlyArray<Guarantee>, what: string) =>
  broken.length === 0 ? Effect.void : new CliError({
    message: `${what} does not give ${broken.map(({ id }) => id).join(", ")}: sandboxes will not start.`
  })

const reportImage = (image: string, asJson: boolean) =>
  Effect.gen(function*() {
    const { inspectImage } = yield* engine
    const guarantees = yield* inspectImage(image)
    const broken = guarantees.filter(({ holds }) => !holds)
    yield* asJson
      ? Console.log(JSON.stringify({ ok: broken.length === 0, image, guarantees }, null, 2))
      : print(guarantees)
    return yield* failOn(broken, `A container of ${image}`)
  })

const report = (asJson: boolean) =>
  Effect.gen(function*() {
    const { containers, doctor, layer, missingPackages } = yield* engine
    const missing = yield* missingPackages
    const guarantees = missing.length > 0 ? [] : yield* doctor.pipe(Effect.provide(layer))
    const found = yield* SystemPackages.find
    const names = Arr.dedupe(missing.map((entry) => entry.debianPackage))
    const broken = guarantees.filter((guarantee) => !guarantee.holds)
    const ok = missing.length === 0 && broken.length === 0
    const docker = yield* containers
    if (asJson) {
      yield* Console.log(JSON.stringify({ ok, missing, guarantees, docker }, null, 2))
    } else {
      yield* print(guarantees)
      yield* Console.log(
        docker.available
          ? `ok    Templates with a dockerImage can be used: ${docker.detail} (sandbox doctor --image IMAGE)`
          : `none  Templates with a dockerImage cannot be used: ${docker.detail}\n      if wanted: ${docker.fix ?? ""}`
      )
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
    return yield* failOn(broken, "This host")
  })

/**
 * The command.
 */
export const command = Command.make(
  "doctor",
  { install, packages, image, json },
  (options) =>
    Option.isSome(options.image)
      ? reportImage(options.image.value, options.json)
      : options.install
      ? installMissing(
        options.packages.split(",").map((name) => name.trim()).filter((name) => name !== ""),
        options.json
      )
      : report(options.json)
).pipe(Command.withDescription(
  "Probe each guarantee on this host with a real sandbox; print what enforces it, or what to install"
))
