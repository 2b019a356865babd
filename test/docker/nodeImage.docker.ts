import { layer as describeLayer } from "@effect/vitest"
import { layerLocal } from "../../src/local.js"
import { javascript } from "../conformance/javascript.js"
import { otherLanguages } from "../conformance/languages.js"
import { skippingPython, withoutPython } from "../conformance/withoutPython.js"
import { IMAGES } from "./images.js"

const inNodeImage = layerLocal({ isolation: "docker", docker: { image: IMAGES.node } })

describeLayer(withoutPython(inNodeImage), { timeout: "60 seconds", excludeTestServices: true })(
  "a container of an image with Node and without Python",
  (methods) => {
    const it = skippingPython(methods)
    javascript(it)
    otherLanguages(it)
  }
)
