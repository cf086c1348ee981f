const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export const escaped = (text: unknown) => String(text).replaceAll(/[&<>"']/g, (sign) => ENTITIES[sign] ?? sign);
