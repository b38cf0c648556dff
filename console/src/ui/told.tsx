import type { BulwarkError } from "@bulwark/client";
import { textOf } from "@bulwark/client/errors";
import { useText } from "../blocks/provider.tsx";

/** The sentence of the client about an error. */
export default function Told({ error }: { error: BulwarkError }) {
  const t = useText();
  return t(textOf(error));
}
