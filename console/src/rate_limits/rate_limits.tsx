import { OfProject } from "../project.tsx";
import { Heading } from "../ui/parts.tsx";
import { Tabs, usePart } from "../ui/tabs.tsx";
import { Blocks } from "./blocks.tsx";
import { Networks } from "./networks.tsx";
import { Overrides } from "./overrides.tsx";
import { Rules } from "./rules.tsx";

const parts = {
  rules: "Rules",
  overrides: "Overrides",
  blocks: "Blocks",
  networks: "Networks",
} as const;
const screens = { rules: Rules, overrides: Overrides, blocks: Blocks, networks: Networks };

/** How often callers may call, who may more or less, and who is blocked. */
export function RateLimits() {
  const part = usePart(parts);
  const Part = screens[part];
  return (
    <OfProject title="Rate limits" permission="system:admin">
      {() => (
        <>
          <Heading>Rate limits</Heading>
          <Tabs label="Parts of the rate limits" parts={parts} current={part} />
          <Part />
        </>
      )}
    </OfProject>
  );
}
