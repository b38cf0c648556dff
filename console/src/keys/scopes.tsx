import { Dialog } from "@base-ui/react/dialog";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Problem } from "../ui/parts.tsx";

/** Why scopes of a key are not in force, by its state. */
const reasons: Record<string, string> = {
  active: "Its owner, {owner}, may not do this now. It comes into force as soon as they may.",
  suspended:
    "Its owner, {owner}, may do none of this now, or the organization does not allow the key.",
  expired: "The key has expired.",
  revoked: "The key was revoked.",
};

/** The scopes of a key, which explain in words what it can do, and what it cannot and why. */
export function Scopes({ apiKey, owner }: {
  apiKey: {
    name: string;
    scopes: readonly string[];
    effective_scopes: readonly string[];
    status: string;
  };
  /** The name of its owner. */
  owner: string;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [open, setOpen] = useState(false);
  const { data: permissions, error } = useQuery({
    ...queries.roles.permissions(),
    enabled: open,
    staleTime: 600_000,
  });
  const { name, scopes, effective_scopes: inForce, status } = apiKey;
  const absent = scopes.filter((scope) => !inForce.includes(scope));
  const descriptionOf = new Map<string, string>(
    permissions?.map((one) => [one.name, t(one.description)]),
  );
  const list = (chosen: readonly string[]) => (
    <ul className="grid gap-1">
      {chosen.map((scope) => (
        <li key={scope} className="flex flex-wrap items-baseline gap-x-2">
          {descriptionOf.get(scope)}
          <span className="font-mono text-xs text-quiet">{scope}</span>
        </li>
      ))}
    </ul>
  );
  return (
    <Dialog.Root open={open} onOpenChange={setOpen}>
      <Dialog.Trigger className="link">
        {scopes.length === 1 ? scopes[0] : t("{count} scopes", { count: scopes.length })}
        {absent.length > 0 && status === "active" && (
          <span className="text-warn">{t(", {count} in force", { count: inForce.length })}</span>
        )}
        <span className="sr-only">: {name}</span>
      </Dialog.Trigger>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="dialog">
          <Dialog.Title className="text-lg font-semibold break-words">
            {t("Scopes of {name}", { name })}
          </Dialog.Title>
          <Problem error={error} />
          {inForce.length > 0 && (
            <section className="grid gap-1" data-scopes="in-force">
              <h3 className="font-medium">{t("This key can")}</h3>
              {list(inForce)}
            </section>
          )}
          {absent.length > 0 && (
            <section className="grid gap-1" data-scopes="absent">
              <h3 className="font-medium">{t("Not in force")}</h3>
              <p className="text-quiet">{t(reasons[status] ?? "", { owner })}</p>
              {list(absent)}
            </section>
          )}
          <Dialog.Close className="button justify-self-end">{t("Close")}</Dialog.Close>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
