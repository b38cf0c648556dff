import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import "./app.css";
import { BulwarkBlocks } from "./blocks/provider.tsx";
import { auth, bulwark, known, queries } from "./connection.ts";
import { returning, router } from "./router.tsx";
import { isLeaving, signInAgain } from "./session.ts";
import { stepUp } from "./step_up.ts";

const StepUpDialog = lazy(async () => {
  const { StepUpDialog } = await import("./step_up_dialog.tsx");
  return { default: StepUpDialog };
});

const SignInAgain = lazy(async () => {
  const { SignInAgain } = await import("./access/sign_in_again.tsx");
  return { default: SignInAgain };
});

/** A dialog that is loaded when it is first open. */
function Late({ open, children }: { open: boolean; children: ReactNode }) {
  const [needed, setNeeded] = useState(false);
  if (open && !needed) setNeeded(true);
  return needed && <Suspense>{children}</Suspense>;
}

/** The dialogs that any screen may need. */
function Dialogs() {
  const verifies = useSyncExternalStore(stepUp.subscribe, stepUp.isOpen);
  const returns = useSyncExternalStore(signInAgain.subscribe, signInAgain.email) !== null;
  return (
    <>
      <Late open={verifies}>
        <StepUpDialog />
      </Late>
      <Late open={returns}>
        <SignInAgain />
      </Late>
    </>
  );
}

let account: string | null = null;
auth.onAuthStateChange((event, session) => {
  // A link of a message leads here.
  if (event === "PASSWORD_RECOVERY") void router.navigate({ to: "/new-password" });
  const next = session?.user.id ?? null;
  if (next === account) return;
  const ended = account !== null && next === null;
  const email = known.getQueryData(queries.whoami().queryKey)?.user.email;
  const isTyping = document.querySelector("#main form, [role=dialog] form") !== null;
  // The input waits for the same person.
  if (ended && !isLeaving() && email && isTyping) return signInAgain.ask(email);
  account = next;
  signInAgain.end();
  // The next account sees no data of this one, and repeats none of its calls.
  known.clear();
  stepUp.answer(null);
  if (ended) {
    const asked = returning({ to: router.state.location.href });
    const why = isLeaving() ? {} : { ended: true as const };
    void router.navigate({ to: "/sign-in", search: { ...asked, ...why } });
  }
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <CSPProvider disableStyleElements>
      <QueryClientProvider client={known}>
        <BulwarkBlocks client={bulwark}>
          <RouterProvider router={router} />
          <Dialogs />
        </BulwarkBlocks>
      </QueryClientProvider>
    </CSPProvider>,
  );
}
