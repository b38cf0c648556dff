import { OfProject } from "../project.tsx";
import { Heading } from "../ui/parts.tsx";
import { Tabs, usePart } from "../ui/tabs.tsx";
import { Health } from "./health.tsx";
import { List } from "./list.tsx";

const parts = { settings: "Settings", health: "Health" } as const;
const screens = { settings: List, health: Health };

/** The settings of the installation, and whether it works. */
export function Settings() {
  const part = usePart(parts);
  const Part = screens[part];
  return (
    <OfProject title="Settings" permission="system:admin">
      {() => (
        <>
          <Heading>Settings</Heading>
          <Tabs label="Parts of the settings" parts={parts} current={part} />
          <Part />
        </>
      )}
    </OfProject>
  );
}
