import type { Group } from "./filter.ts";

/** Events that people look for together, by the beginnings of their types. */
const beginnings: Record<Group, { name: string; begin: readonly string[] }> = {
  exports: { name: "Exports", begin: ["data.export", "compliance.export"] },
  "sign-in": { name: "Sign-in and second factors", begin: ["auth."] },
  roles: { name: "Roles and permissions", begin: ["authz."] },
  changes: { name: "Changes of data", begin: ["data.create", "data.update", "data.delete"] },
  keys: { name: "API keys and encryption keys", begin: ["api.key_", "encryption."] },
  settings: { name: "Settings", begin: ["config.", "settings."] },
  threats: {
    name: "Refusals and threats",
    begin: ["security.", "auth.login_failed", "authz.permission_denied", "api.rate_limit"],
  },
  compliance: { name: "Compliance", begin: ["compliance."] },
};

export function nameOfGroup(group: Group): string {
  return beginnings[group].name;
}

/** The types of a group, of those that there are. */
export function typesOf(group: Group, types: readonly string[]): string[] {
  return types.filter((type) => beginnings[group].begin.some((start) => type.startsWith(start)));
}
