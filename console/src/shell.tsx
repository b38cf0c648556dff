import { Dialog } from "@base-ui/react/dialog";
import { Menu } from "@base-ui/react/menu";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useBlocker, useNavigate, useParams } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { auth, queries } from "./connection.ts";
import { OpenEvents } from "./events/badge.tsx";
import { placesOf, start } from "./organization.tsx";
import { PaletteButton, PaletteByKeys } from "./palette/open.tsx";
import { OrganizationSwitcher } from "./organizations/switcher.tsx";
import { projectPlacesOf } from "./project.tsx";
import { signOut } from "./session.ts";
import { chooseTheme, themes } from "./theme.ts";
import { Initials, Problem } from "./ui/parts.tsx";

/** The frame of all screens of somebody who is signed in. */
export function Shell() {
  const { error } = useQuery(queries.whoami());
  const [open, setOpen] = useState(false);
  const [searching, setSearching] = useState(false);
  useBlocker({
    shouldBlockFn: async ({ current, next }) =>
      isSecretShown() && next.pathname !== current.pathname &&
      (await auth.getSession()).data.session !== null,
    enableBeforeUnload: isSecretShown,
  });
  return (
    <div className="md:grid md:min-h-dvh md:grid-cols-[14rem_minmax(0,1fr)]">
      <a href="#main" className="sr-only focus:not-sr-only" onClick={skip}>Skip to content</a>
      <aside className="sticky top-0 hidden h-dvh flex-col gap-4 border-r border-line bg-surface p-3 md:flex">
        <Navigation onSearch={() => setSearching(true)} />
      </aside>
      <header className="sticky top-0 z-10 flex h-12 items-center gap-2 border-b border-line bg-surface px-3 md:hidden">
        <Dialog.Root open={open} onOpenChange={setOpen}>
          <Dialog.Trigger className="button plain px-2" aria-label="Menu">☰</Dialog.Trigger>
          <Dialog.Portal>
            <Dialog.Backdrop className="backdrop" />
            <Dialog.Popup className="fixed inset-y-0 left-0 z-20 flex w-64 flex-col gap-4 border-r border-line bg-surface p-3">
              <Dialog.Title className="sr-only">Menu</Dialog.Title>
              <Navigation onFollow={() => setOpen(false)} />
            </Dialog.Popup>
          </Dialog.Portal>
        </Dialog.Root>
        <span className="flex-1 font-semibold">Bulwark</span>
        <button type="button" className="button plain px-2" onClick={() => setSearching(true)}>
          Search
        </button>
      </header>
      <PaletteByKeys open={searching} onOpenChange={setSearching} />
      <main
        id="main"
        tabIndex={-1}
        className="grid grid-cols-[minmax(0,1fr)] content-start gap-4 p-4 outline-none md:p-6"
      >
        {error && <Problem error={error} />}
        <Outlet />
      </main>
    </div>
  );
}

/** Whether a secret is shown that would be lost with the screen. */
function isSecretShown(): boolean {
  return document.querySelector("[data-shown-once]") !== null;
}

/** The address of the page belongs to the router, so the link only moves the focus. */
function skip(event: React.MouseEvent) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const entry =
  "flex h-8 items-center rounded-md px-2 font-medium text-quiet hover:bg-hover hover:text-ink data-[status=active]:bg-hover data-[status=active]:text-ink";

function Navigation({ onFollow, onSearch }: { onFollow?: () => void; onSearch?: () => void }) {
  const { data: me } = useQuery(queries.whoami());
  const navigate = useNavigate();
  const { slug } = useParams({ strict: false });
  const organization = me?.organizations.find((one) => one.slug === slug) ?? me?.organizations[0];
  const projectPlaces = me ? projectPlacesOf(me) : [];
  return (
    <>
      <OrganizationSwitcher
        current={organization?.id}
        icon={<img src="./icon.svg" alt="" className="size-4" />}
        onSwitch={(one) => void navigate({ to: start, params: { slug: one.slug } })}
        onAll={() => void navigate({ to: "/" })}
      />
      {onSearch && <PaletteButton onClick={onSearch} />}
      <nav
        aria-label="Main"
        className="-mx-1 grid min-h-0 flex-1 content-start gap-4 overflow-y-auto px-1"
        onClick={onFollow}
      >
        {organization && (
          <Group name="Organization">
            {placesOf(organization).map(({ to, name }) => (
              <Link
                key={to}
                to={to}
                params={{ slug: organization.slug }}
                activeOptions={{ exact: to === start }}
                className={entry}
              >
                {name}
                {to === "/o/$slug/events" && <OpenEvents organization={organization.id} />}
              </Link>
            ))}
          </Group>
        )}
        {projectPlaces.length > 0 && (
          <Group name="Project">
            {projectPlaces.map(({ to, name }) => (
              <Link key={to} to={to} className={entry}>{name}</Link>
            ))}
          </Group>
        )}
        <Group name="You">
          <Link to="/account" className={entry}>My security</Link>
        </Group>
      </nav>
      {me && <AccountMenu email={me.user.email ?? me.user.id} />}
    </>
  );
}

function Group({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div role="group" aria-label={name} className="grid gap-0.5">
      <span aria-hidden className="px-2 pb-1 text-xs font-medium text-quiet">{name}</span>
      {children}
    </div>
  );
}

function AccountMenu({ email }: { email: string }) {
  return (
    <Menu.Root>
      <Menu.Trigger className="button plain w-full justify-start px-2">
        <span className="sr-only">Account:</span>
        <Initials name={email} />
        <span className="truncate font-normal">{email}</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={4} align="start" className="z-30">
          <Menu.Popup className="popup w-52">
            {themes.map(({ theme, name }) => (
              <Menu.Item
                key={name}
                className="item"
                onClick={() => chooseTheme(theme)}
              >
                {name}
              </Menu.Item>
            ))}
            <Menu.Separator className="my-1 h-px bg-line" />
            <Menu.Item className="item" onClick={() => void signOut()}>Sign out</Menu.Item>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
