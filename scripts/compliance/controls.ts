import type { Report } from "./shapes.ts";

/** The parts of a report that are evidence. */
export type Part = keyof Pick<
  Report,
  | "access"
  | "mfa"
  | "api_keys"
  | "reviews"
  | "grants"
  | "privileged"
  | "keys_in_use"
  | "keys"
  | "retention_rules"
  | "retention"
  | "events"
  | "incidents"
  | "verification"
  | "log"
>;

/** The controls of SOC 2 (trust services criteria, 2017, points of focus of 2022), CC6 and CC7. */
export const controls: readonly { id: string; title: string; parts: readonly Part[] }[] = [
  {
    id: "CC6.1",
    title: "Logical access security",
    parts: ["access", "mfa", "api_keys", "keys_in_use"],
  },
  {
    id: "CC6.2",
    title: "Registration and authorization of users",
    parts: ["access", "grants", "privileged"],
  },
  {
    id: "CC6.3",
    title: "Role-based access, changed and removed",
    parts: ["access", "reviews", "grants"],
  },
  { id: "CC6.4", title: "Physical access", parts: [] },
  { id: "CC6.5", title: "Disposal of data", parts: ["retention_rules", "retention", "keys"] },
  { id: "CC6.6", title: "Threats from outside", parts: ["mfa", "api_keys", "events", "incidents"] },
  { id: "CC6.7", title: "Transmission of information", parts: ["keys_in_use", "privileged"] },
  { id: "CC6.8", title: "Unauthorized software", parts: ["verification", "incidents"] },
  {
    id: "CC7.1",
    title: "Detection of changes and weaknesses",
    parts: ["verification", "privileged"],
  },
  { id: "CC7.2", title: "Monitoring for anomalies", parts: ["events", "incidents", "log"] },
  { id: "CC7.3", title: "Evaluation of security events", parts: ["events", "incidents"] },
  { id: "CC7.4", title: "Response to incidents", parts: ["events", "incidents", "privileged"] },
  { id: "CC7.5", title: "Recovery", parts: ["verification", "events"] },
];
