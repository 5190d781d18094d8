"""pool.py aiohttp|httpx CONCURRENCY URLS RECORDS: fetches the URLs with one client on an event loop, finds their titles
with lxml in a pool of as many processes as there are CPUs, and writes a JSON line for each page.

Prints "WALL_S CPU_S" of the work: the start of Python, what it imports and the start of the pool are left out.
"""

import asyncio
import concurrent.futures
import json
import os
import resource
import sys
import time

import lxml.html


UTF_8, DECLARED = lxml.html.HTMLParser(encoding="utf-8"), lxml.html.HTMLParser()


def title(body):
    """The text of the first title element; None without one. What no page declares libxml2 takes for Latin-1."""
    try:
        body.decode()
        parser = UTF_8
    except UnicodeDecodeError:
        parser = DECLARED
    return lxml.html.document_fromstring(body, parser=parser).findtext(".//title")


def seconds():
    """Wall time, and the CPU time of this process and of the children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.monotonic(), sum(usage.ru_utime + usage.ru_stime for usage in usages)


def aiohttp_client(concurrency):
    import aiohttp

    client = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency), cookie_jar=aiohttp.DummyCookieJar()
    )

    async def fetch(url):
        async with client.get(url) as response:
            response.raise_for_status()
            return await response.read()

    return client, fetch


def httpx_client(concurrency):
    import httpx

    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = httpx.AsyncClient(limits=limits, timeout=60)

    async def fetch(url):
        response = await client.get(url)
        response.raise_for_status()
        return response.content

    return client, fetch


async def scrape(make_client, concurrency, urls, records, pool):
    """As many workers as may be in flight; a page that waits for its parser counts as in flight."""
    loop = asyncio.get_running_loop()
    client, fetch = make_client(concurrency)

    async def worker():
        for url in urls:
            body = await fetch(url)
            found = await loop.run_in_executor(pool, title, body)
            records.write(json.dumps({"url": url, "title": found}) + "\n")

    async with client:
        await asyncio.gather(*(worker() for _ in range(concurrency)))


def main(name, concurrency, urls_path, records_path):
    make_client = {"aiohttp": aiohttp_client, "httpx": httpx_client}[name]
    pool = concurrent.futures.ProcessPoolExecutor(os.cpu_count())
    for started in [pool.submit(title, b"<title>x") for _ in range(2 * os.cpu_count())]:
        started.result()
    with open(urls_path, encoding="ascii") as file:
        urls = iter(file.read().split())
    start, cpu_start = seconds()
    with open(records_path, "w", encoding="ascii") as records:
        asyncio.run(scrape(make_client, int(concurrency), urls, records, pool))
    end, _ = seconds()
    pool.shutdown()  # its processes end, so that their time is known
    _, cpu_end = seconds()
    print(f"{end - start:.3f} {cpu_end - cpu_start:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
