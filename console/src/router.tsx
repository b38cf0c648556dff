import {
  createHashHistory,
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { readFilter } from "./audit/filter.ts";
import { auth, known, queries } from "./connection.ts";
import { readFilter as readEvents } from "./events/address.ts";
import { Failed, Missing } from "./failed.tsx";
import { readMembers } from "./members/search.ts";
import { readFilter as readMfa } from "./mfa/address.ts";
import { readOpened } from "./opened.ts";
import { readDays } from "./ui/days.ts";
import { readShown } from "./webhooks/address.ts";
import { readMetricsSearch } from "./metrics/range.ts";

const root = createRootRoute({ component: Outlet, notFoundComponent: Missing });

/** A screen to return to after signing in, which none of the screens before it can be. */
export const returning = ({ to }: Record<string, unknown>): { to?: string } =>
  typeof to === "string" && /^\/(?!\/|sign-|second-factor|recover|new-password)/.test(to)
    ? { to }
    : {};

/** A part of a screen. */
const readPart = ({ part }: Record<string, unknown>): { part?: string } =>
  typeof part === "string" ? { part } : {};

async function session() {
  return (await auth.getSession()).data.session;
}

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: ({ ended, to }: Record<string, unknown>): { to?: string; ended?: true } => ({
    ...returning({ to }),
    ...(ended === true ? { ended } : {}),
  }),
  component: lazyRouteComponent(() => import("./access/sign_in.tsx"), "SignIn"),
});

const signUp = createRoute({
  getParentRoute: () => root,
  path: "/sign-up",
  validateSearch: returning,
  component: lazyRouteComponent(() => import("./access/sign_up.tsx"), "SignUp"),
});

const recover = createRoute({
  getParentRoute: () => root,
  path: "/recover",
  validateSearch: ({ ended }): { ended?: true } => ended === true ? { ended } : {},
  component: lazyRouteComponent(() => import("./access/recover.tsx"), "Recover"),
});

const newPassword = createRoute({
  getParentRoute: () => root,
  path: "/new-password",
  beforeLoad: async () => {
    if (!await session()) throw redirect({ to: "/recover" });
  },
  component: lazyRouteComponent(() => import("./access/new_password.tsx"), "NewPassword"),
});

const secondFactor = createRoute({
  getParentRoute: () => root,
  path: "/second-factor",
  validateSearch: returning,
  beforeLoad: async () => {
    if (!await session()) throw redirect({ to: "/sign-in" });
  },
  component: lazyRouteComponent(() => import("./access/second_factor.tsx"), "SecondFactor"),
});

const shell = createRoute({
  getParentRoute: () => root,
  id: "shell",
  validateSearch: readOpened,
  beforeLoad: async ({ location }) => {
    const to = location.href;
    if (!await session()) throw redirect({ to: "/sign-in", search: { to } });
    const me = await known.ensureQueryData(queries.whoami());
    if (me.mfa.enrolled && !me.mfa.satisfied) {
      throw redirect({ to: "/second-factor", search: { to } });
    }
  },
  errorComponent: Failed,
  component: lazyRouteComponent(() => import("./shell.tsx"), "Shell"),
});

const home = createRoute({
  getParentRoute: () => shell,
  path: "/",
  component: lazyRouteComponent(() => import("./home.tsx"), "Home"),
});

const account = createRoute({
  getParentRoute: () => shell,
  path: "/account",
  component: lazyRouteComponent(() => import("./account/account.tsx"), "Account"),
});

const overview = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug",
  component: lazyRouteComponent(() => import("./overview/overview.tsx"), "Overview"),
});

const audit = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/audit",
  validateSearch: readFilter,
  component: lazyRouteComponent(() => import("./audit/audit.tsx"), "Audit"),
});

const verify = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/verify",
  validateSearch: readDays,
  component: lazyRouteComponent(() => import("./verify/verify.tsx"), "Verify"),
});

const members = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/members",
  validateSearch: readMembers,
  component: lazyRouteComponent(() => import("./members/members.tsx"), "Members"),
});

const roles = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/roles",
  component: lazyRouteComponent(() => import("./members/roles_screen.tsx"), "Roles"),
});

const keys = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/keys",
  component: lazyRouteComponent(() => import("./keys/keys.tsx"), "Keys"),
});

const webhooks = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/webhooks",
  component: lazyRouteComponent(() => import("./webhooks/webhooks.tsx"), "Webhooks"),
});

const endpoint = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/webhooks/$endpoint",
  validateSearch: readShown,
  component: lazyRouteComponent(() => import("./webhooks/endpoint.tsx"), "EndpointScreen"),
});

const events = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/events",
  validateSearch: readEvents,
  component: lazyRouteComponent(() => import("./events/events.tsx"), "Events"),
});

const mfa = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/mfa",
  validateSearch: readMfa,
  component: lazyRouteComponent(() => import("./mfa/mfa.tsx"), "Mfa"),
});

// Supabase Auth leads to the page with the error of a link in the hash.
if (/[#&]error_code=/.test(location.hash)) history.replaceState(null, "", "#/recover?ended=true");
const compliance = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/compliance",
  validateSearch: readPart,
  component: lazyRouteComponent(() => import("./compliance/compliance.tsx"), "Compliance"),
});

const review = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/reviews/$review",
  validateSearch: ({ undecided }: Record<string, unknown>): { undecided?: true } =>
    undecided === true ? { undecided } : {},
  component: lazyRouteComponent(() => import("./compliance/review.tsx"), "Review"),
});

const metrics = createRoute({
  getParentRoute: () => shell,
  path: "/project/metrics",
  validateSearch: readMetricsSearch,
  component: lazyRouteComponent(() => import("./metrics/metrics.tsx"), "Metrics"),
});

const rateLimits = createRoute({
  getParentRoute: () => shell,
  path: "/project/rate-limits",
  validateSearch: readPart,
  component: lazyRouteComponent(() => import("./rate_limits/rate_limits.tsx"), "RateLimits"),
});

const encryption = createRoute({
  getParentRoute: () => shell,
  path: "/project/encryption",
  validateSearch: ({ organization }: Record<string, unknown>): { organization?: string } =>
    typeof organization === "string" ? { organization } : {},
  component: lazyRouteComponent(() => import("./encryption/encryption.tsx"), "Encryption"),
});

const organizationEncryption = createRoute({
  getParentRoute: () => shell,
  path: "/o/$slug/encryption",
  component: lazyRouteComponent(
    () => import("./encryption/of_organization.tsx"),
    "OrganizationEncryption",
  ),
});

const settings = createRoute({
  getParentRoute: () => shell,
  path: "/project/settings",
  validateSearch: readPart,
  component: lazyRouteComponent(() => import("./settings/settings.tsx"), "Settings"),
});

export const router = createRouter({
  routeTree: root.addChildren([
    signIn,
    signUp,
    recover,
    newPassword,
    secondFactor,
    shell.addChildren([
      home,
      account,
      overview,
      audit,
      verify,
      members,
      roles,
      keys,
      webhooks,
      endpoint,
      events,
      mfa,
      compliance,
      review,
      metrics,
      rateLimits,
      encryption,
      organizationEncryption,
      settings,
    ]),
  ]),
  history: createHashHistory(),
  defaultPreload: "intent",
  defaultErrorComponent: Failed,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
