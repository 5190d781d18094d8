/* The version of skimd, by https://semver.org. */
#ifndef SKIMD_SERVER_VERSION_H
#define SKIMD_SERVER_VERSION_H

#define SKIMD_VERSION "0.1.0"

#endif
