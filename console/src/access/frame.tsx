import type { ReactNode } from "react";
import { useTitle } from "../ui/parts.tsx";

/** The frame of screens before somebody is signed in. */
export function Frame(
  { title, about, children }: { title: string; about?: string; children: ReactNode },
) {
  useTitle(title);
  return (
    <main className="mx-auto grid w-full max-w-sm gap-6 px-4 pt-[14vh] pb-12">
      <div className="flex items-center gap-2">
        <img src="./icon.svg" alt="" className="size-6" />
        <span className="text-lg font-semibold">Bulwark</span>
      </div>
      <div className="card grid gap-4 p-6">
        <div>
          <h1 className="text-lg font-semibold">{title}</h1>
          {about && <p className="text-quiet">{about}</p>}
        </div>
        {children}
      </div>
    </main>
  );
}
