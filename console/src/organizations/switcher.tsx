import { Menu } from "@base-ui/react/menu";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";

/** Shows the organization that is open, and changes to another of the person's. */
export function OrganizationSwitcher({ current, icon, onSwitch, onAll }: {
  /** The id of the organization that is open. */
  current: string | undefined;
  icon?: ReactNode;
  onSwitch(organization: Organization): void;
  /** Opens the list of all; without it there is no such entry. */
  onAll?(): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const { data: me } = useQuery(queries.whoami());
  const chosen = me?.organizations.find(({ id }) => id === current);
  return (
    <Menu.Root>
      <Menu.Trigger className="button w-full justify-between px-2">
        <span className="flex min-w-0 items-center gap-2">
          {icon}
          <span className="sr-only">{t("Organization:")}</span>
          <span className="truncate">{chosen?.name ?? t("No organization")}</span>
        </span>
        <span aria-hidden className="text-quiet">⌄</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={4} align="start" className="z-30">
          <Menu.Popup className="popup w-56">
            {me?.organizations.map((one) => (
              <Menu.Item
                key={one.id}
                className="item"
                onClick={() => onSwitch(one)}
              >
                <span className="flex-1 truncate">{one.name}</span>
                {one.id === current && <span aria-label={t("current")}>✓</span>}
              </Menu.Item>
            ))}
            {onAll && (
              <Menu.Item className="item" onClick={onAll}>{t("All organizations")}</Menu.Item>
            )}
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
