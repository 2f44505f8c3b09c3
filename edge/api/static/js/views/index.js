// The views by the name in the address, in the order of the menu; icons are paths on a 24 by 24 grid.
import { show as access } from "./access.js";
import { show as alarms } from "./alarms.js";
import { show as align } from "./align.js";
import { show as config } from "./config.js";
import { show as inventory } from "./inventory.js";
import { show as logs } from "./logs.js";
import { show as meters } from "./meters.js";
import { show as overview } from "./overview.js";
import { show as ring } from "./ring.js";

export const VIEWS = {
  overview: { show: overview, icon: "M3 12 12 4l9 8M6 10v10h12V10" },
  align: { show: align, icon: "M4 9a12 12 0 0 1 16 0M7 13a7 7 0 0 1 10 0M12 17v4M12 16.5v.5" },
  meters: { show: meters, icon: "M5 3h14v18H5zM8 7h8v4H8zM9 15h.1M12 15h.1M15 15h.1" },
  ring: { show: ring, icon: "M4 19V9M10 19V5M16 19v-7M22 19H2" },
  alarms: { show: alarms, icon: "M12 3 22 20H2zM12 10v4M12 17v.1" },
  logs: { show: logs, icon: "M5 4h14v16H5zM8 9h8M8 13h8M8 17h5" },
  config: { show: config, icon: "M4 7h10M18 7h2M16 5v4M4 17h4M12 17h8M10 15v4" },
  inventory: { show: inventory, icon: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8" },
  access: { show: access, icon: "M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3" },
};
