"""titles.py COUNT SKIMD OTHER: compares the titles that two tools have found, page by page.

SKIMD and OTHER are JSON lines with "url" and "title". A page is the path of a URL, without its query. White space around
and in a title does not count, nor whether an empty title is one. Prints "PAGES SAME"; fails with a line on stderr where
OTHER does not have one record for each of COUNT URLs, or two titles for one page.
"""

import json
import sys


def titles(path, count):
    found, urls = {}, set()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("type", "result") != "result":
                continue
            url = record["url"]
            page = url.partition("?")[0]
            title = " ".join((record["title"] or "").split())
            if url in urls:
                sys.exit(f"two records for {url}")
            if found.setdefault(page, title) != title:
                sys.exit(f"two titles for {page}: {found[page]!r} and {title!r}")
            urls.add(url)
    if len(urls) != count:
        sys.exit(f"{len(urls)} records for {count} URLs")
    return found


def main(count, ours_path, theirs_path):
    ours, theirs = titles(ours_path, int(count)), titles(theirs_path, int(count))
    if ours.keys() != theirs.keys():
        sys.exit("not the same pages")
    print(len(ours), sum(ours[page] == theirs[page] for page in ours))


if __name__ == "__main__":
    main(*sys.argv[1:])
