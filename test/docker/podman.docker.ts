import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Docker, doctor, layerLocal } from "../../src/local.js"
import { conformance } from "../conformance/suite.js"
import { bytes, endings } from "./containers.js"
import { IMAGES } from "./images.js"
import { podmanAddress as address } from "./podman.js"

const docker = { image: IMAGES.full, address }
const inPodman = layerLocal({ isolation: "docker", docker, network: "any" })

// Where it is not there, `main.ts` has said so in one line.
if (address === undefined) {
  it.skip("Podman is not here", () => {})
} else {
  describe("a container of Podman", () => {
    for (const image of [IMAGES.full, IMAGES.node]) {
      it.live(`of the image ${image} has every guarantee`, () =>
        Effect.gen(function*() {
          const found = yield* doctor
          expect(found.filter(({ holds }) => !holds)).toEqual([])
          expect(found.map(({ id }) => id)).toContain("memory")
        }).pipe(Effect.provide(Docker.layer({ address, image }))))
    }

    bytes(inPodman)
  })

  describe("an engine over Podman whose process", () => {
    endings(address)
  })

  conformance("the embedded engine over containers of Podman", inPodman)
}
