// What the Encoding standard's decoders do, told by encoding_rs, which is Firefox's implementation of it and is
// generated from the standard's own indexes. `generate` beside this file builds and runs it.
//
//   oracle labels < LABELS     parsers/label.inc: one label of the standard a line
//   oracle single-byte         parsers/single_byte.inc
//   oracle big5                parsers/multi_byte_big5.inc: where glibc's BIG5-HKSCS differs
//   oracle expect              tests/charset/expected.inc: hashes of what tests/check_conformance.c decodes
//   oracle dump                the texts of those hashes, as that test dumps its own
use encoding_rs::Encoding;
use std::io::{BufRead, Write};

const SINGLE_BYTE: [&str; 28] = [
    "ibm866", "iso-8859-2", "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8",
    "iso-8859-8-i", "iso-8859-10", "iso-8859-13", "iso-8859-14", "iso-8859-15", "iso-8859-16", "koi8-r", "koi8-u",
    "macintosh", "windows-874", "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254",
    "windows-1255", "windows-1256", "windows-1257", "windows-1258", "x-mac-cyrillic",
];
const MULTI_BYTE: [&str; 6] = ["gbk", "gb18030", "big5", "euc-jp", "shift_jis", "euc-kr"];
const OTHERS: [&str; 5] = ["utf-8", "iso-2022-jp", "utf-16be", "utf-16le", "x-user-defined"];

fn decode(label: &str, bytes: &[u8]) -> String {
    let encoding = Encoding::for_label(label.as_bytes()).unwrap();
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

// The name of enum charset's constant.
fn id(label: &str) -> String {
    format!("CHARSET_{}", label.to_uppercase().replace('-', "_"))
}

fn labels() {
    let mut lines: Vec<String> = std::io::stdin().lock().lines().map(|line| line.unwrap()).collect();
    lines.sort();
    for label in lines {
        let encoding = Encoding::for_label(label.as_bytes()).expect("a label of the standard");
        println!("LABEL(\"{}\", {})", label, id(&encoding.name().to_lowercase()));
    }
}

fn single_byte() {
    for label in SINGLE_BYTE {
        println!("TABLE({},", id(label));
        let codes: Vec<String> = (0x80..=0xffu32)
            .map(|byte| format!("0x{:04x}", decode(label, &[byte as u8]).chars().next().unwrap() as u32))
            .collect();
        let rows: Vec<String> = codes.chunks(12).map(|row| format!("      {}", row.join(", "))).collect();
        println!("{})", rows.join(",\n"));
    }
}

extern "C" {
    fn iconv_open(to: *const u8, from: *const u8) -> isize;
    fn iconv(cd: isize, from: *mut *const u8, len: *mut usize, to: *mut *mut u8, room: *mut usize) -> usize;
}

// What iconv makes of a pair; None when it refuses.
fn by_iconv(cd: isize, pair: &[u8; 2]) -> Option<Vec<u8>> {
    let mut out = [0u8; 16];
    let (mut from, mut len, mut to, mut room) = (pair.as_ptr(), 2, out.as_mut_ptr(), out.len());
    let null = std::ptr::null_mut::<*const u8>();
    unsafe {
        iconv(cd, null, &mut 0, std::ptr::null_mut(), &mut 0);
        if iconv(cd, &mut from, &mut len, &mut to, &mut room) == usize::MAX {
            return None;
        }
        iconv(cd, null, &mut 0, &mut to, &mut room);
    }
    Some(out[..16 - room].to_vec())
}

fn big5() {
    let cd = unsafe { iconv_open(b"UTF-8\0".as_ptr(), b"BIG5-HKSCS\0".as_ptr()) };
    for lead in 0x81..=0xfe {
        for trail in (0x40..=0x7e).chain(0xa1..=0xfe) {
            let text = decode("big5", &[lead, trail]);
            let code = text.chars().next().unwrap();
            if by_iconv(cd, &[lead, trail]).as_deref() == Some(text.as_bytes()) {
                continue;
            }
            if code == '\u{fffd}' {
                assert!(by_iconv(cd, &[lead, trail]).is_none(), "iconv has what index big5 has not");
                continue;
            }
            println!("PATCH(0x{:02x}{:02x}, 0x{:04x})", lead, trail, code as u32);
        }
    }
}

// -- the texts, as in tests/check_conformance.c -----------------------------------------------------------------

fn singles() -> Vec<u8> {
    (0..=255).flat_map(|byte| [byte, b'\n']).collect()
}

fn pairs(lead: u8) -> Vec<u8> {
    (0..=255).flat_map(|trail| [lead, trail, b'\n']).collect()
}

fn triples(second: u8) -> Vec<u8> {
    (0..=255).flat_map(|third| [0x8f, second, third, b'\n']).collect()
}

fn fours(first: u8) -> Vec<u8> {
    let mut text = Vec::new();
    for second in b'0'..=b'9' {
        for third in 0x80..=0xff {
            for fourth in b'0'..=b':' {
                text.extend([first, second, third, fourth, b'\n']);
            }
        }
    }
    text
}

fn escaped(lead: u8) -> Vec<u8> {
    (0..=255)
        .flat_map(|trail| [0x1b, b'$', b'B', lead, trail, 0x1b, b'(', b'B', b'\n'])
        .collect()
}

const SOUP: usize = 1 << 18;
const SOUP_CUT: usize = 192;

// Four kinds of bytes in turn, a page of each: any, mostly high, what ISO-2022-JP cares for, what the others do.
fn soup(len: usize) -> Vec<u8> {
    let escapes = b"\x1b\x1b\x1b$$((BJI@@!~<>\x0e\x0f\\\n\x80\xff";
    let edges = b"09:@~\x7f\x80\x81\x82\x84\x8e\x8f\x90\xa0\xa1\xa2\xa3\xc3\xe3\xed\xf3\xfc\xfd\xfe\xff<\"&";
    let mut state: u32 = 2463534242;
    (0..len)
        .map(|at| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let (byte, choice) = ((state >> 8) as u8, (state >> 16) as usize);
            match at / 64 % 4 {
                0 => byte,
                1 if choice % 8 != 0 => byte | 0x80,
                1 => byte & 0x7f,
                2 => escapes[choice % escapes.len()],
                _ => edges[choice % edges.len()],
            }
        })
        .collect()
}

struct Report {
    dump: bool,
    row: Vec<String>,
}

impl Report {
    fn text(&mut self, label: &str, kind: &str, index: usize, text: &str) {
        if self.dump {
            let mut out = std::io::stdout().lock();
            writeln!(out, "== {} {} {}", label, kind, index).unwrap();
            out.write_all(text.as_bytes()).unwrap();
            writeln!(out).unwrap();
            return;
        }
        let hash = text.bytes().fold(0xcbf29ce484222325u64, |hash, byte| {
            (hash ^ byte as u64).wrapping_mul(0x100000001b3)
        });
        self.row.push(format!("0x{:016x}", hash));
    }

    fn close(&mut self, label: &str, kind: &str) {
        if !self.dump {
            let rows: Vec<String> = self.row.chunks(5).map(|row| row.join(", ")).collect();
            println!("EXPECT({}, {}, {})", id(label), kind, rows.join(",\n       "));
        }
        self.row.clear();
    }
}

fn texts(dump: bool) {
    let mut report = Report { dump, row: Vec::new() };
    for label in SINGLE_BYTE.iter().chain(&MULTI_BYTE).chain(&OTHERS) {
        report.text(label, "SINGLES", 0, &decode(label, &singles()));
        report.close(label, "SINGLES");
        report.text(label, "SOUP", 0, &decode(label, &soup(SOUP)));
        report.close(label, "SOUP");
        let cut = soup(SOUP);
        let all: Vec<String> = (0..SOUP_CUT * 4)
            .map(|at| decode(label, &cut[at * 16..at * 16 + at % SOUP_CUT]))
            .collect();
        report.text(label, "CUTS", 0, &all.join("\n"));
        report.close(label, "CUTS");
    }
    for label in MULTI_BYTE.iter().chain(&["utf-8"]) {
        for lead in 0x80..=0xff {
            report.text(label, "PAIRS", lead as usize - 0x80, &decode(label, &pairs(lead)));
        }
        report.close(label, "PAIRS");
    }
    for second in 0x80..=0xff {
        report.text("euc-jp", "TRIPLES", second as usize - 0x80, &decode("euc-jp", &triples(second)));
    }
    report.close("euc-jp", "TRIPLES");
    for first in 0x80..=0xff {
        report.text("gb18030", "FOURS", first as usize - 0x80, &decode("gb18030", &fours(first)));
    }
    report.close("gb18030", "FOURS");
    for lead in 0..=255 {
        report.text("iso-2022-jp", "ESCAPED", lead as usize, &decode("iso-2022-jp", &escaped(lead)));
    }
    report.close("iso-2022-jp", "ESCAPED");
}

fn main() {
    // The index of 2024 and later has the pairs of GB 18030-2022.
    assert_eq!(decode("gb18030", b"\xa6\xd9"), "\u{fe10}", "encoding_rs is too old");
    match std::env::args().nth(1).as_deref() {
        Some("labels") => labels(),
        Some("single-byte") => single_byte(),
        Some("big5") => big5(),
        Some("expect") => texts(false),
        Some("dump") => texts(true),
        _ => panic!("usage: oracle labels|single-byte|big5|expect|dump"),
    }
}
