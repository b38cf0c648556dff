import { useId } from "react";
import { useText } from "../blocks/provider.tsx";
import type { RoleContents } from "./roles.ts";

/** A choice among roles; those that the person may not give are there, but cannot be chosen. */
export function RoleSelect({ roles, chosen, onChange }: {
  roles: readonly RoleContents[] | null;
  chosen: string;
  onChange(role: string): void;
}) {
  const t = useText();
  const id = useId();
  const beyond = roles?.some(({ mayGive }) => !mayGive);
  return (
    <div className="grid gap-1">
      <label htmlFor={id} className="font-medium">{t("Role")}</label>
      <select
        id={id}
        required
        className="field"
        value={chosen}
        aria-describedby={beyond ? `${id}-hint` : undefined}
        onChange={({ target }) => onChange(target.value)}
      >
        <option value="" disabled>{t("Choose a role")}</option>
        {roles?.map(({ role, beyond }) => (
          <option key={role.id} value={role.name} disabled={beyond !== null}>
            {role.name}
            {beyond ? ` (${t(beyond)})` : ""}
          </option>
        ))}
      </select>
      {beyond && (
        <p id={`${id}-hint`} className="text-xs text-quiet">
          {t("You can give what you hold yourself, and no more.")}
        </p>
      )}
    </div>
  );
}
