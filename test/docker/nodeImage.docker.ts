import { describe, layer as describeLayer } from "@effect/vitest"
import { Layer } from "effect"
import { Docker, layerEngine, layerLocal } from "../../src/local.js"
import { javascript } from "../conformance/javascript.js"
import { otherLanguages } from "../conformance/languages.js"
import { pausing } from "../conformance/pausing.js"
import { skippingPython, withoutPython } from "../conformance/withoutPython.js"
import { IMAGES } from "./images.js"

const agents = {
  "the Python that is lent to it": layerLocal({ isolation: "docker", docker: { image: IMAGES.node } }),
  "its own Node": Layer.provide(layerEngine(), Docker.layer({ image: IMAGES.node, agent: "node" }))
}

describe("a container of an image with Node and without Python", () => {
  for (const [agent, layer] of Object.entries(agents)) {
    describeLayer(withoutPython(layer), { timeout: "60 seconds", excludeTestServices: true })(
      `has an agent that runs by ${agent}`,
      (methods) => {
        const it = skippingPython(methods)
        javascript(it)
        otherLanguages(it)
        pausing(it)
      }
    )
  }
})
