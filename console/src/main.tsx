import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { lazy, Suspense, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import "./app.css";
import { BulwarkBlocks } from "./blocks/provider.tsx";
import { auth, bulwark, known } from "./connection.ts";
import { router } from "./router.tsx";
import { stepUp } from "./step_up.ts";

const StepUpDialog = lazy(async () => {
  const { StepUpDialog } = await import("./step_up_dialog.tsx");
  return { default: StepUpDialog };
});

/** The dialog is loaded when a call first needs it. */
function StepUp() {
  const open = useSyncExternalStore(stepUp.subscribe, stepUp.isOpen);
  const [needed, setNeeded] = useState(false);
  if (open && !needed) setNeeded(true);
  return needed && (
    <Suspense>
      <StepUpDialog />
    </Suspense>
  );
}

let account: string | null = null;
auth.onAuthStateChange((event, session) => {
  // A link of a message leads here.
  if (event === "PASSWORD_RECOVERY") void router.navigate({ to: "/new-password" });
  const next = session?.user.id ?? null;
  if (next === account) return;
  const ended = account !== null && next === null;
  account = next;
  // The next account sees no data of this one, and repeats none of its calls.
  known.clear();
  stepUp.answer(null);
  if (ended) {
    const to = router.state.location.href;
    void router.navigate({ to: "/sign-in", search: { to } });
  }
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={known}>
        <BulwarkBlocks client={bulwark}>
          <RouterProvider router={router} />
          <StepUp />
        </BulwarkBlocks>
      </QueryClientProvider>
    </CSPProvider>,
  );
}
